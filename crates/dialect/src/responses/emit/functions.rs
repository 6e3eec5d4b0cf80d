//! The calls of functions of a streamed answer. Several may be open at once.

use super::{Encoder, number};
use crate::{
    Fault, Signature,
    responses::output::{Called, function_call},
    signature::seal_id,
};

/// A call of a function that is open.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) index: u32,
    pub(super) at: usize,
    pub(super) id: String,
    pub(super) call_id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

impl Encoder {
    pub(super) fn call(
        &mut self,
        index: u32,
        call_id: &str,
        (name, signature): (String, Option<Signature>),
        out: &mut Vec<u8>,
    ) {
        let call_id = seal_id(call_id, signature.as_ref());
        let (id, at) = self.place("fc");
        let function = Function { index, at, id, call_id, name, arguments: String::new() };
        self.added(at, out, |w| function_call(w, &function.id, &function.called("in_progress")));
        self.functions.push(function);
    }

    pub(super) fn arguments(&mut self, index: u32, fragment: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Some(place) = self.functions.iter().position(|function| function.index == index) else {
            let message = "the provider continued a tool call that was complete";
            return Err(Fault::bad_answer("invalid_answer", message));
        };
        let mut function = self.functions.remove(place);
        function.arguments.push_str(fragment);
        self.piece("response.function_call_arguments.delta", &function, ("delta", fragment), out);
        self.functions.insert(place, function);
        Ok(())
    }

    fn piece(&mut self, kind: &str, function: &Function, (name, text): (&str, &str), out: &mut Vec<u8>) {
        self.record(kind, out, |w| {
            w.string("item_id", &function.id);
            w.number("output_index", number(function.at));
            w.string(name, text);
        });
    }

    /// A call without arguments has an empty object.
    pub(super) fn close_functions(&mut self, out: &mut Vec<u8>) {
        for mut function in std::mem::take(&mut self.functions) {
            if function.arguments.trim().is_empty() {
                function.arguments = "{}".to_owned();
                self.piece("response.function_call_arguments.delta", &function, ("delta", "{}"), out);
            }
            let whole = ("arguments", function.arguments.as_str());
            self.piece("response.function_call_arguments.done", &function, whole, out);
            self.done(function.at, out, |w| function_call(w, &function.id, &function.called("completed")));
        }
    }
}

impl Function {
    fn called<'a>(&'a self, status: &'a str) -> Called<'a> {
        Called { call_id: &self.call_id, name: &self.name, arguments: &self.arguments, status }
    }
}
