//! Converse's words for the formats of images, documents, sound and pictures, and their media types.

/// What holds bytes of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Image,
    Document,
    Video,
    Audio,
}

/// The first line that fits wins, in both directions.
const IMAGES: &[(&str, &str)] = &[
    ("png", "image/png"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("jpeg", "image/jpg"),
];

const DOCUMENTS: &[(&str, &str)] = &[
    ("pdf", "application/pdf"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("html", "text/html"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
];

const VIDEOS: &[(&str, &str)] = &[
    ("mp4", "video/mp4"),
    ("mov", "video/quicktime"),
    ("mkv", "video/x-matroska"),
    ("webm", "video/webm"),
    ("flv", "video/x-flv"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpg"),
    ("wmv", "video/x-ms-wmv"),
    ("three_gp", "video/3gpp"),
    ("flv", "video/flv"),
    ("wmv", "video/wmv"),
    ("mov", "video/mov"),
];

const AUDIO: &[(&str, &str)] = &[
    ("mp3", "audio/mp3"),
    ("wav", "audio/wav"),
    ("flac", "audio/flac"),
    ("aac", "audio/aac"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/opus"),
    ("m4a", "audio/m4a"),
    ("mp4", "audio/mp4"),
    ("webm", "audio/webm"),
    ("pcm", "audio/pcm"),
    ("mpga", "audio/mpga"),
    ("mkv", "audio/x-matroska"),
    ("mka", "audio/mka"),
    ("x-aac", "audio/x-aac"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/x-wav"),
    ("mpeg", "audio/x-mpeg"),
];

fn table(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Image => IMAGES,
        Kind::Document => DOCUMENTS,
        Kind::Video => VIDEOS,
        Kind::Audio => AUDIO,
    }
}

impl Kind {
    /// The name of the block.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Document => "document",
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }

    /// The media type of a format.
    pub(crate) fn media_type(self, format: &str) -> String {
        let known = table(self).iter().find(|(known, _)| *known == format);
        known.map_or_else(|| format!("{}/{format}", self.name()), |(_, media_type)| (*media_type).to_owned())
    }

    /// The format of a media type, whatever follows it.
    pub(crate) fn format(self, media_type: &str) -> Option<&'static str> {
        let bare = media_type.split(';').next().unwrap_or_default().trim();
        let known = table(self).iter().find(|(_, known)| known.eq_ignore_ascii_case(bare));
        known.map(|(format, _)| *format)
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, table};

    #[test]
    fn every_format_comes_back_from_its_media_type() {
        for kind in [Kind::Image, Kind::Document, Kind::Video, Kind::Audio] {
            for (format, media_type) in table(kind) {
                assert_eq!(kind.format(media_type), Some(*format));
                assert_eq!(kind.format(&kind.media_type(format)), Some(*format));
            }
        }
        assert_eq!(Kind::Document.format("text/plain; charset=utf-8"), Some("txt"));
        assert_eq!(Kind::Image.format("image/tiff"), None);
    }
}
