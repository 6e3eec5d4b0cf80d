//! What only the file store promises: plain words about a file it cannot use, and nothing lost to a kill.
