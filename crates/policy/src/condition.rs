//! Conditions of rules: CEL over the facts of a call, checked and prepared when a version is compiled.
//!
//! The CEL crate has no evaluation budget and no type checker, so both are here: size, depth and loops are bounded, names and
//! types are known, and whatever cannot be a boolean is refused before it is ever asked.

mod check;
mod facts;
mod types;

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, ExecutionError, Value,
    common::{types::CelBool, value::CowVal},
    parser::{Expression, PrattParser},
};

pub(crate) use facts::is_hidden_header;
pub use facts::{CallerFacts, Facts, Lookup};

use crate::limits;
use facts::{RegexValue, Resolver};

/// Building the standard environment takes 17 µs, so it is built once and shared by every evaluation.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    // Under this name there is no other overload, so that declaring it cannot fail.
    let declared = environment.add_overload(
        check::MATCHES,
        "frontdoor_matches",
        vec![cel::common::types::STRING_TYPE, facts::REGEX.to_owned()],
        facts::matches,
    );
    debug_assert!(declared.is_ok());
    Arc::new(environment)
});

/// The stack on which conditions are parsed and checked: deep nesting is refused there instead of ending the process.
const COMPILE_STACK_BYTES: usize = 64 * 1024 * 1024;
/// Levels of brackets and the like that the parser follows.
const PARSE_DEPTH: u16 = 64;

/// A condition ready to be asked. Invariant: parsed, of boolean type, bounded in depth, and with known names only.
pub struct Condition {
    source: Box<str>,
    expression: Expression,
    regexes: Vec<RegexValue>,
}

/// Why a condition is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// Why a condition has no answer for a call. Such a rule does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// It reads a tag, header or label that the call does not have; `has(tags.x)` and `'x' in headers` ask first.
    #[error("`{0}` is missing")]
    Missing(String),
    /// It could not be computed. The text holds no values of the call.
    #[error("{0}")]
    Failed(String),
}

impl Condition {
    /// Parses and checks one condition.
    pub fn compile(source: &str) -> Result<Arc<Condition>, String> {
        let compiled = compile_all(&[source]).into_iter().next();
        let missing =
            || Err(Problem { code: "internal", message: "the condition was not compiled".to_owned() });
        compiled.unwrap_or_else(missing).map_err(|problem| problem.message)
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the condition holds for a call.
    pub fn evaluate(&self, facts: &Facts<'_>) -> Result<bool, ConditionError> {
        let resolver = Resolver { facts, regexes: &self.regexes };
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(&resolver);
        let value: CowVal<'_, '_> =
            Value::resolve_val(&self.expression, &context).map_err(|error| describe(&error))?;
        match value.downcast_ref::<CelBool>() {
            Some(answer) => Ok(*answer.inner()),
            None => Err(ConditionError::Failed("the result is not a boolean".to_owned())),
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.source).finish()
    }
}

/// Parses and checks conditions, in order, on one thread with a big stack.
pub(crate) fn compile_all(sources: &[&str]) -> Vec<Result<Arc<Condition>, Problem>> {
    let failed = |message: String| vec![Err(Problem { code: "internal", message }); sources.len()];
    if sources.is_empty() {
        return Vec::new();
    }
    std::thread::scope(|scope| {
        let work = || sources.iter().map(|source| compile_here(source).map(Arc::new)).collect();
        let name = "compile-conditions".to_owned();
        let started =
            std::thread::Builder::new().name(name).stack_size(COMPILE_STACK_BYTES).spawn_scoped(scope, work);
        match started.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(compiled)) => compiled,
            Ok(Err(_panic)) => failed("the compiler of conditions stopped unexpectedly".to_owned()),
            Err(error) => failed(format!("no thread to compile conditions on: {error}")),
        }
    })
}

fn compile_here(source: &str) -> Result<Condition, Problem> {
    if source.len() > limits::CONDITION_BYTES {
        let message = format!("a condition has at most {} bytes", limits::CONDITION_BYTES);
        return Err(Problem { code: "too_large", message });
    }
    let parser = PrattParser::new().max_recursion_depth(PARSE_DEPTH).error_reporting_limit(1);
    let mut expression = parser.parse(source).map_err(|errors| {
        let message = errors.errors.first().map_or_else(String::new, |first| {
            let text = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
            let place = match first.pos {
                (1, column) if column > 0 => format!(" at character {column}"),
                (line, column) if line > 1 => format!(" at line {line}, character {column}"),
                _ => String::new(),
            };
            format!("the condition is not valid CEL{place}: {text}")
        });
        Problem { code: "condition_syntax", message }
    })?;
    let regexes = check::check(&mut expression)?;
    let condition = Condition { source: source.into(), expression, regexes };
    try_on_samples(&condition)?;
    Ok(condition)
}

/// What the type check cannot see shows here: a condition must be able to answer.
fn try_on_samples(condition: &Condition) -> Result<(), Problem> {
    let refused = |message: &str| Err(Problem { code: "condition_type", message: message.to_owned() });
    facts::with_samples(|facts| match condition.evaluate(facts) {
        Ok(_) | Err(ConditionError::Missing(_)) => Ok(()),
        Err(ConditionError::Failed(reason))
            if reason.contains("not a boolean") || reason.contains("overload") =>
        {
            refused(&format!("the condition cannot be answered: {reason}"))
        }
        Err(ConditionError::Failed(_)) => Ok(()),
    })
}

/// Without the values of the call, which the errors of the CEL crate repeat.
fn describe(error: &ExecutionError) -> ConditionError {
    let text = match error {
        ExecutionError::NoSuchKey(name) => return ConditionError::Missing(name.to_string()),
        ExecutionError::NoSuchOverload(overload) => overload.to_string(),
        ExecutionError::UndeclaredReference(name) => format!("`{name}` is not known"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::Overflow(operator, _, _) => format!("`{operator}` overflowed"),
        ExecutionError::IndexOutOfBounds(_) => "an index is out of bounds".to_owned(),
        ExecutionError::FunctionError { function, .. } => format!("`{function}` failed"),
        _ => "the condition could not be computed".to_owned(),
    };
    ConditionError::Failed(text)
}

#[cfg(test)]
mod tests;
