//! What Anthropic refuses.

use serde_json::Value;

use crate::answer::Refusal;
use crate::anthropic::messages::{Block, MessagesRequest, Role, SIGNATURE, Words};
use crate::schema;

impl MessagesRequest {
    /// Refuses what the real one refuses, but for a missing model and limit.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.messages.is_empty() {
            return Err(Refusal::invalid("messages", "at least one message is required"));
        }
        if self.temperature.is_some_and(|temperature| !(0.0..=1.0).contains(&temperature)) {
            return Err(Refusal::invalid("temperature", "range: 0..1"));
        }
        // Later in the conversation an instruction may be a message of its own.
        if self.messages.first().is_some_and(|message| message.role == Role::System) {
            let message = "use the top-level 'system' parameter for the initial system prompt";
            return Err(Refusal::invalid("messages.0", message));
        }
        if self.messages.first().is_some_and(|message| message.role != Role::User) {
            return Err(Refusal::invalid("messages", "first message must use the \"user\" role"));
        }
        if self.tool_choice.is_some() && self.tools.is_empty() {
            return Err(Refusal::invalid("tool_choice", "may only be specified while providing tools"));
        }
        self.check_blocks()?;
        self.check_tools()?;
        self.check_cache_points()?;
        self.check_tool_results()
    }

    /// Texts say something, ids are made of few letters, a thought comes back as it was given, results come first.
    fn check_blocks(&self) -> Result<(), Refusal> {
        for (position, message) in self.messages.iter().enumerate() {
            let mut are_results_over = false;
            for (index, block) in message.blocks().enumerate() {
                let at = format!("messages.{position}.content.{index}");
                check_block(block, &at)?;
                let is_result = block.r#type == "tool_result";
                if is_result && are_results_over {
                    let message = "`tool_result` blocks have to come first in a message";
                    return Err(Refusal::invalid(&at, message));
                }
                are_results_over |= !is_result;
            }
        }
        Ok(())
    }

    fn check_tools(&self) -> Result<(), Refusal> {
        for (position, tool) in self.tools.iter().enumerate() {
            let at = format!("tools.{position}.custom.name");
            let is_own = !tool.input_schema.is_null();
            if is_own && (tool.name.len() > 128 || !is_identifier(&tool.name)) {
                return Err(Refusal::invalid(&at, "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"));
            }
            if is_own && tool.input_schema.get("type").and_then(Value::as_str) != Some("object") {
                let at = format!("tools.{position}.custom.input_schema.type");
                return Err(Refusal::invalid(&at, "Input should be 'object'"));
            }
        }
        let schema = self.output_config.as_ref().and_then(|output| output.pointer("/format/schema"));
        match schema.and_then(|schema| schema::open_object(schema, false)) {
            Some(_) => Err(Refusal::invalid(
                "output_config.format.schema",
                "For 'object' type, 'additionalProperties' must be explicitly set to false",
            )),
            None => Ok(()),
        }
    }

    fn check_cache_points(&self) -> Result<(), Refusal> {
        let points = self.cache_points();
        if points > 4 {
            let message =
                format!("A maximum of 4 blocks with cache_control may be provided. Found {points}.");
            return Err(Refusal::new(400, message));
        }
        Ok(())
    }

    fn cache_points(&self) -> usize {
        let blocks = self.system.iter().chain(self.messages.iter().map(|message| &message.content));
        blocks.flat_map(Words::blocks).filter(|block| block.cache_control.is_some()).count()
            + self.tools.iter().filter(|tool| tool.cache_control.is_some()).count()
    }

    /// The limit has to be there, and thinking has to fit into it.
    pub(super) fn check_limits(&self) -> Result<(), Refusal> {
        match self.max_tokens {
            None => Err(Refusal::invalid("max_tokens", "Field required")),
            Some(0) => Err(Refusal::invalid("max_tokens", "Input should be greater than or equal to 1")),
            Some(max_tokens) => self.check_thinking(max_tokens),
        }
    }

    /// The results of a message's tool calls stand in the very next message, all of them and nothing else.
    fn check_tool_results(&self) -> Result<(), Refusal> {
        let mut open: Vec<&str> = Vec::new();
        let mut before = None;
        for (position, message) in self.messages.iter().enumerate() {
            let at = format!("messages.{position}");
            for id in message
                .blocks()
                .filter(|block| block.r#type == "tool_result")
                .filter_map(|block| block.tool_use_id.as_deref())
            {
                let Some(found) = open.iter().position(|call| *call == id) else {
                    let message = format!(
                        "unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                    );
                    return Err(Refusal::invalid(&at, message));
                };
                open.remove(found);
            }
            // Messages of the model that follow one another are one.
            let goes_on = message.role == Role::Assistant && before == Some(Role::Assistant);
            before = Some(message.role);
            if !goes_on {
                refuse_unanswered(&at, &open)?;
            }
            let calls = message
                .blocks()
                .filter(|block| block.r#type == "tool_use")
                .filter_map(|block| block.id.as_deref());
            open.extend(calls);
        }
        refuse_unanswered("messages", &open)
    }

    fn check_thinking(&self, max_tokens: u64) -> Result<(), Refusal> {
        let Some(thinking) = self.thinking.as_ref().filter(|thinking| thinking.r#type != "disabled") else {
            return Ok(());
        };
        match thinking.budget_tokens {
            Some(budget) if budget < 1024 => {
                return Err(Refusal::invalid(
                    "thinking.budget_tokens",
                    "Input should be greater than or equal to 1024",
                ));
            }
            Some(budget) if budget >= max_tokens => {
                return Err(Refusal::invalid("max_tokens", "must be greater than `thinking.budget_tokens`"));
            }
            None if thinking.r#type == "enabled" => {
                return Err(Refusal::invalid("thinking.budget_tokens", "Field required"));
            }
            _ => {}
        }
        let is_forced =
            self.tool_choice.as_ref().is_some_and(|choice| matches!(choice.r#type.as_str(), "any" | "tool"));
        if is_forced && thinking.r#type == "enabled" {
            return Err(Refusal::invalid("thinking", "may not be enabled when tool_choice forces tool use"));
        }
        if self.temperature.is_some_and(|temperature| temperature < 1.0) {
            return Err(Refusal::invalid("temperature", "may only be set to 1 when thinking is enabled"));
        }
        Ok(())
    }
}

fn check_block(block: &Block, at: &str) -> Result<(), Refusal> {
    if block.r#type == "text" && block.text.as_deref().is_none_or(str::is_empty) {
        return Err(Refusal::invalid(at, "text content blocks must be non-empty"));
    }
    if block.r#type == "thinking" && block.signature.as_deref() != Some(SIGNATURE) {
        return Err(Refusal::invalid(at, "Invalid `signature` in `thinking` block"));
    }
    if block.r#type == "tool_use" && !block.id.as_deref().is_some_and(is_identifier) {
        let at = format!("{at}.tool_use.id");
        return Err(Refusal::invalid(&at, "String should match pattern '^[a-zA-Z0-9_-]+$'"));
    }
    if block.r#type == "tool_use" && !block.input.as_ref().is_some_and(Value::is_object) {
        let at = format!("{at}.tool_use.input");
        return Err(Refusal::invalid(&at, "Input should be a valid dictionary"));
    }
    Ok(())
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-')
}

fn refuse_unanswered(at: &str, open: &[&str]) -> Result<(), Refusal> {
    if open.is_empty() {
        return Ok(());
    }
    let message = format!(
        "`tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
        open.join(", ")
    );
    Err(Refusal::invalid(at, message))
}
