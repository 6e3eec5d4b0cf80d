//! A tokenizer that checks JSON and gives out tokens without building anything: the fast path of every call.
//!
//! It never recurses, so depth costs nothing but a bit; deeper than [`DEEPEST`] is refused. It assumes UTF-8 was
//! checked where that matters. It must not know any dialect.

use std::borrow::Cow;

use memchr::memchr2;

/// The deepest nesting taken.
pub(crate) const DEEPEST: u32 = 128;

/// What is wrong, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScanError {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

/// Where a value stands, quotes and brackets included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A string: where it stands without its quotes, and how long it is in UTF-8 once unescaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) chars: u64,
    escaped: bool,
}

impl Text {
    /// Where it stands with its quotes.
    pub(crate) fn span(self) -> Span {
        Span { start: self.start.saturating_sub(1), end: self.end.saturating_add(1) }
    }
}

/// Gives out each number of an object and of the objects in it: the field it stands in (empty at the top), its own
/// name, and its text. What is no object or not JSON gives out nothing more and is told by `false`.
pub(crate) fn numbers(json: &[u8], mut give: impl FnMut(&[u8], &[u8], &str)) -> bool {
    let mut scanner = Scanner::new(json);
    if scanner.next() != Ok(Some(Token::BeginObject)) {
        return false;
    }
    let (mut outer, mut name): (Cow<'_, [u8]>, Cow<'_, [u8]>) = Default::default();
    loop {
        match scanner.next() {
            Ok(Some(Token::Key(key))) if scanner.depth() <= 2 => name = scanner.name(key),
            Ok(Some(Token::BeginObject)) if scanner.depth() == 2 => outer = std::mem::take(&mut name),
            Ok(Some(Token::EndObject)) if scanner.depth() == 1 => outer = Cow::default(),
            Ok(Some(Token::Number(span))) if scanner.depth() <= 2 => {
                give(&outer, &name, std::str::from_utf8(scanner.bytes(span)).unwrap_or_default());
            }
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// A count; some servers write whole numbers as floats.
pub(crate) fn count(number: &str) -> Option<u64> {
    number.parse().ok().or_else(|| {
        let float = number.parse::<f64>().ok().filter(|float| *float >= 0.0)?;
        format!("{float:.0}").parse().ok()
    })
}

/// The tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    BeginObject,
    EndObject,
    BeginArray,
    EndArray,
    Key(Text),
    String(Text),
    Number(Span),
    True,
    False,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    FirstValue,
    FirstKey,
    Key,
    Comma,
    Nothing,
}

/// A tokenizer over one JSON document.
#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
    /// One bit for each open bracket, the innermost lowest: set for an object.
    objects: u128,
    expect: Expect,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0, objects: 0, expect: Expect::Value }
    }

    /// How many brackets are open.
    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    /// How far it has read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The bytes of a span.
    pub(crate) fn bytes(&self, span: Span) -> &'a [u8] {
        self.bytes.get(span.start..span.end).unwrap_or_default()
    }

    /// A field name or another word to be compared, unescaped; nothing known is empty.
    #[inline]
    pub(crate) fn name(&self, text: Text) -> Cow<'a, [u8]> {
        if text.escaped {
            return Cow::Owned(self.read(text).unwrap_or_default().into_owned().into_bytes());
        }
        Cow::Borrowed(self.bytes.get(text.start..text.end).unwrap_or_default())
    }

    /// A string unescaped; nothing when it is not Unicode.
    pub(crate) fn read(&self, text: Text) -> Option<Cow<'a, str>> {
        if text.escaped {
            return serde_json::from_slice::<String>(self.bytes(text.span())).ok().map(Cow::Owned);
        }
        std::str::from_utf8(self.bytes.get(text.start..text.end)?).ok().map(Cow::Borrowed)
    }

    /// The next token; `None` at the proper end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Token>, ScanError> {
        loop {
            let Some(byte) = self.peek() else {
                return if self.expect == Expect::Nothing {
                    Ok(None)
                } else {
                    Err(self.wrong("unexpected end"))
                };
            };
            match (self.expect, byte) {
                (Expect::Comma, b',') => {
                    self.at += 1;
                    self.expect = if self.objects & 1 == 1 { Expect::Key } else { Expect::Value };
                }
                (Expect::Comma | Expect::FirstKey, b'}') if self.objects & 1 == 1 => {
                    return Ok(Some(self.close(Token::EndObject)));
                }
                (Expect::Comma | Expect::FirstValue, b']') if self.objects & 1 == 0 => {
                    return Ok(Some(self.close(Token::EndArray)));
                }
                (Expect::Key | Expect::FirstKey, b'"') => return self.key().map(Some),
                (Expect::Value | Expect::FirstValue, _) => return self.value(byte).map(Some),
                (Expect::Nothing, _) => return Err(self.wrong("something follows the end of the value")),
                (Expect::Comma, _) => return Err(self.wrong("expected a comma or the end")),
                (Expect::Key | Expect::FirstKey, _) => return Err(self.wrong("expected a field name")),
            }
        }
    }

    /// Reads the next value if it is a string; any other is passed over.
    pub(crate) fn take_text(&mut self) -> Result<Option<Cow<'a, str>>, ScanError> {
        let outer = self.depth;
        match self.next()? {
            Some(Token::String(text)) => Ok(self.read(text)),
            _ => self.leave(outer).map(|()| None),
        }
    }

    /// Whether the next value is one that an SDK takes for true.
    pub(crate) fn is_truthy(&mut self) -> Result<bool, ScanError> {
        let span = self.skip()?;
        Ok(!matches!(self.bytes(span), b"null" | b"false" | b"0" | b"\"\"" | b"{}" | b"[]"))
    }

    /// Passes over the rest of a value whose first token was taken.
    pub(crate) fn leave(&mut self, outer: u32) -> Result<(), ScanError> {
        while self.depth > outer {
            self.next()?;
        }
        Ok(())
    }

    /// Passes over the next value and tells where it stands.
    pub(crate) fn skip(&mut self) -> Result<Span, ScanError> {
        self.peek();
        let (start, depth) = (self.at, self.depth);
        loop {
            if self.next()?.is_none() {
                return Err(self.wrong("unexpected end"));
            }
            if self.depth <= depth {
                return Ok(Span { start, end: self.at });
            }
        }
    }

    /// Where the word just read stands: `true`, `false` or `null`.
    pub(crate) fn last(&self) -> Span {
        let word = self.bytes.get(..self.at).unwrap_or_default();
        let length = word.iter().rev().take_while(|byte| byte.is_ascii_lowercase()).count();
        Span { start: self.at - length, end: self.at }
    }

    /// The next byte that is not white space.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return Some(*byte),
                None => return None,
            }
        }
    }

    #[inline(always)]
    fn key(&mut self) -> Result<Token, ScanError> {
        let text = self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.wrong("expected a colon"));
        }
        self.at += 1;
        self.expect = Expect::Value;
        Ok(Token::Key(text))
    }

    #[inline(always)]
    fn value(&mut self, byte: u8) -> Result<Token, ScanError> {
        match byte {
            b'"' => {
                let text = self.string()?;
                self.after_value();
                Ok(Token::String(text))
            }
            b'{' => self.open(1, Expect::FirstKey, Token::BeginObject),
            b'[' => self.open(0, Expect::FirstValue, Token::BeginArray),
            b't' => self.word(b"true", Token::True),
            b'f' => self.word(b"false", Token::False),
            b'n' => self.word(b"null", Token::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(self.wrong("expected a value")),
        }
    }

    fn open(&mut self, bit: u128, expect: Expect, token: Token) -> Result<Token, ScanError> {
        if self.depth >= DEEPEST {
            return Err(self.wrong("nested deeper than 128 levels"));
        }
        self.at += 1;
        self.depth += 1;
        self.objects = self.objects << 1 | bit;
        self.expect = expect;
        Ok(token)
    }

    fn close(&mut self, token: Token) -> Token {
        self.at += 1;
        self.depth -= 1;
        self.objects >>= 1;
        self.after_value();
        token
    }

    #[inline(always)]
    fn after_value(&mut self) {
        self.expect = if self.depth == 0 { Expect::Nothing } else { Expect::Comma };
    }

    fn word(&mut self, word: &[u8], token: Token) -> Result<Token, ScanError> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.wrong("expected a value"));
        }
        self.at += word.len();
        self.after_value();
        Ok(token)
    }

    fn number(&mut self) -> Result<Token, ScanError> {
        let start = self.at;
        self.at += usize::from(self.bytes.get(self.at) == Some(&b'-'));
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => _ = self.digits(),
            _ => return Err(self.wrong("expected a digit")),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.wrong("expected a digit"));
            }
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return Err(self.wrong("expected a digit"));
            }
        }
        self.after_value();
        Ok(Token::Number(Span { start, end: self.at }))
    }

    fn digits(&mut self) -> usize {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    /// Reads a string; stands on its opening quote.
    #[inline(always)]
    fn string(&mut self) -> Result<Text, ScanError> {
        self.at += 1;
        let start = self.at;
        let (mut saved, mut escaped) = (0_usize, false);
        loop {
            self.at += plain(self.bytes.get(self.at..).unwrap_or_default());
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let end = self.at;
                    self.at += 1;
                    let chars = (end - start).saturating_sub(saved);
                    return Ok(Text { start, end, chars: u64::try_from(chars).unwrap_or(u64::MAX), escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    saved += self.escape()?;
                }
                Some(_) => return Err(self.wrong("control character in a string")),
                None => return Err(self.wrong("unexpected end in a string")),
            }
        }
    }

    /// Passes over an escape and tells how many bytes it is longer than what it stands for.
    fn escape(&mut self) -> Result<usize, ScanError> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(1)
            }
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 2..self.at + 6).unwrap_or_default();
                let unit = std::str::from_utf8(digits)
                    .ok()
                    .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
                let Some(unit) = unit.and_then(|text| u16::from_str_radix(text, 16).ok()) else {
                    return Err(self.wrong("expected four hexadecimal digits"));
                };
                self.at += 6;
                Ok(match unit {
                    0..=0x7f => 5,
                    // Halves of a surrogate pair: two of them stand for four bytes.
                    0x80..=0x7ff | 0xd800..=0xdfff => 4,
                    _ => 3,
                })
            }
            _ => Err(self.wrong("unknown escape")),
        }
    }

    fn wrong(&self, what: &'static str) -> ScanError {
        ScanError { at: self.at, what }
    }
}

/// Whether a text stands in a string as it is.
pub(crate) fn is_plain(text: &[u8]) -> bool {
    plain(text) == text.len()
}

/// How many bytes at the start need no care inside a string: neither quote nor backslash nor control character.
#[inline(always)]
fn plain(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    // Most strings are short: a few words first, then what is made for long ones.
    let mut count = 0;
    for word in words.iter().take(4) {
        let special = special(*word);
        if special != 0 {
            return count + (special.trailing_zeros() / 8) as usize;
        }
        count += 8;
    }
    if words.len() > 4 {
        return count + plain_long(bytes.get(count..).unwrap_or_default());
    }
    count + tail.iter().take_while(|b| !matches!(**b, b'"' | b'\\' | 0..0x20)).count()
}

#[inline(never)]
fn plain_long(bytes: &[u8]) -> usize {
    let end = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
    let text = bytes.get(..end).unwrap_or_default();
    // The least byte of all is found much faster than the first one below a bound.
    if text.iter().fold(u8::MAX, |least, byte| least.min(*byte)) >= 0x20 {
        return end;
    }
    text.iter().take_while(|byte| **byte >= 0x20).count()
}

/// The lowest set bit lies in the first byte that needs care; higher bits may lie.
#[inline(always)]
fn special(word: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(word);
    let zero_in = |x: u64| x.wrapping_sub(ONES) & !x;
    let quote = zero_in(word ^ (ONES * 0x22));
    let backslash = zero_in(word ^ (ONES * 0x5c));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGHS
}

#[cfg(test)]
mod tests;
