//! Images and documents of a call that somebody has to fetch. Who may fetch what is not decided here.

use crate::{Part, PartBody, Request, Source};

impl Request {
    /// The URLs of images, documents and recordings in the call, each once.
    #[must_use]
    pub fn remote_sources(&self) -> Vec<String> {
        let mut urls: Vec<String> = Vec::new();
        for part in self.messages.iter().flat_map(|message| &message.parts) {
            visit(part, &mut |source| {
                if let Source::Url(url) = source
                    && !urls.contains(url)
                {
                    urls.push(url.clone());
                }
            });
        }
        urls
    }

    /// Puts what was fetched in the place of its URL.
    pub fn put_in_place(&mut self, url: &str, media_type: &str, base64: &str) {
        for part in self.messages.iter_mut().flat_map(|message| &mut message.parts) {
            replace(part, &|source| {
                if matches!(source, Source::Url(known) if known == url) {
                    *source = Source::Base64 { media_type: media_type.to_owned(), data: base64.to_owned() };
                }
            });
        }
    }
}

fn visit(part: &Part, give: &mut dyn FnMut(&Source)) {
    match &part.body {
        PartBody::Image { source, .. }
        | PartBody::Document { source, .. }
        | PartBody::Audio { source }
        | PartBody::Video { source } => give(source),
        PartBody::ToolResult { content, .. } => content.iter().for_each(|part| visit(part, give)),
        _ => {}
    }
}

fn replace(part: &mut Part, change: &dyn Fn(&mut Source)) {
    match &mut part.body {
        PartBody::Image { source, .. }
        | PartBody::Document { source, .. }
        | PartBody::Audio { source }
        | PartBody::Video { source } => change(source),
        PartBody::ToolResult { content, .. } => content.iter_mut().for_each(|part| replace(part, change)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{Call, Dialect, Operation};

    #[test]
    fn what_was_fetched_takes_the_place_of_its_url_wherever_that_stands() {
        let image = json!({"type": "image", "source": {"type": "url", "url": "https://x/a.png"}});
        let body = json!({"model": "m", "max_tokens": 1, "messages": [
            {"role": "user", "content": [image, {"type": "tool_result", "tool_use_id": "t", "content": [image]}]}]});
        let call = Call::decode((Dialect::Anthropic, Operation::Chat), body.to_string().into()).unwrap();
        let mut request = call.request().unwrap();
        assert_eq!(request.remote_sources(), ["https://x/a.png"]);
        request.put_in_place("https://x/a.png", "image/png", "AA==");
        assert!(request.remote_sources().is_empty());
        assert_eq!(format!("{request:?}").matches("AA==").count(), 2);
    }
}
