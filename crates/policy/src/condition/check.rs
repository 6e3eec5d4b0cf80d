//! Which type each part of a condition has. Refuses unknown names and functions, operands that do not fit, loops within loops,
//! trees too deep to evaluate, and whatever is not a boolean. Replaces regular expressions by prepared ones on the way.

use cel::{
    common::ast::{
        CallExpr, ComprehensionExpr, EntryExpr, Expr, ListExpr, LiteralValue, MapExpr, SelectExpr, operators,
    },
    parser::Expression,
};

use super::{
    Problem,
    facts::{RegexValue, is_hidden_header, regex_name},
    types::Type,
};
use crate::{diagnostic::hint, limits};

/// The function that takes a prepared regular expression.
pub(super) const MATCHES: &str = "@matches";

/// What a condition may name.
const VARIABLES: [&str; 8] = ["caller", "tags", "model", "headers", "modality", "tools", "stream", "tokens"];
const CALLER_FIELDS: [&str; 5] = ["organisation", "team", "application", "key", "labels"];
const FUNCTIONS: [&str; 14] = [
    "has",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "double",
    "string",
    "exists",
    "all",
    "exists_one",
    "filter",
    "map",
];

fn wrong(message: impl Into<String>) -> Problem {
    Problem { code: "condition_type", message: message.into() }
}

/// Checks the whole condition and returns its regular expressions.
pub(super) fn check(expression: &mut Expression) -> Result<Vec<RegexValue>, Problem> {
    let mut checker = Checker { scopes: Vec::new(), regexes: Vec::new(), depth: 0, loops: 0 };
    match checker.infer(expression)? {
        Type::Bool | Type::Unknown => Ok(checker.regexes),
        other => Err(wrong(format!(
            "a condition answers true or false, but this gives {}; compare it with something",
            other.describe()
        ))),
    }
}

struct Checker {
    /// The variables of the loops around, innermost last.
    scopes: Vec<(String, Type)>,
    regexes: Vec<RegexValue>,
    depth: usize,
    loops: usize,
}

impl Checker {
    fn infer(&mut self, expression: &mut Expression) -> Result<Type, Problem> {
        self.depth += 1;
        if self.depth > limits::CONDITION_DEPTH {
            let message = format!("the condition nests deeper than {} levels", limits::CONDITION_DEPTH);
            return Err(Problem { code: "too_deep", message });
        }
        let inferred = match &mut expression.expr {
            Expr::Literal(literal) => Ok(Type::of_literal(literal)),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(_) => Err(wrong("a condition cannot make messages")),
            Expr::Unspecified => Err(wrong("the condition is empty")),
        };
        self.depth -= 1;
        inferred
    }

    fn variable(&self, name: &str) -> Result<Type, Problem> {
        if let Some((_, known)) = self.scopes.iter().rev().find(|(variable, _)| variable == name) {
            return Ok(known.clone());
        }
        match name {
            "model" | "modality" => Ok(Type::Text),
            "tools" | "tokens" => Ok(Type::Int),
            "stream" => Ok(Type::Bool),
            "caller" => Ok(Type::Caller),
            "tags" => Ok(Type::Texts("tags")),
            "headers" => Ok(Type::Texts("headers")),
            _ => {
                let known =
                    VARIABLES.into_iter().chain(self.scopes.iter().map(|(variable, _)| variable.as_str()));
                Err(wrong(format!("`{name}` is not known in conditions{}", hint(name, known))))
            }
        }
    }

    fn select(&mut self, select: &mut SelectExpr) -> Result<Type, Problem> {
        let operand = self.infer(&mut select.operand)?;
        let field = select.field.as_str();
        let selected = match operand {
            Type::Caller if field == "labels" => Type::Texts("caller.labels"),
            Type::Caller if CALLER_FIELDS.contains(&field) => Type::Text,
            Type::Caller => {
                return Err(wrong(format!("`caller` has no field `{field}`{}", hint(field, CALLER_FIELDS))));
            }
            Type::Texts(name) => {
                check_text_name(name, field)?;
                Type::Text
            }
            Type::Map(value) => *value,
            Type::Unknown => Type::Unknown,
            other => return Err(wrong(format!("{} has no field `{field}`", other.describe()))),
        };
        Ok(if select.test { Type::Bool } else { selected })
    }

    fn list(&mut self, list: &mut ListExpr) -> Result<Type, Problem> {
        let mut of = Type::Unknown;
        for (position, element) in list.elements.iter_mut().enumerate() {
            let element = self.value(element)?;
            of = if position == 0 { element } else { of.join(element) };
        }
        Ok(Type::List(Box::new(of)))
    }

    fn map(&mut self, map: &mut MapExpr) -> Result<Type, Problem> {
        let mut of = Type::Unknown;
        for (position, entry) in map.entries.iter_mut().enumerate() {
            let EntryExpr::MapEntry(entry) = &mut entry.expr else {
                return Err(wrong("a map has keys and values"));
            };
            self.value(&mut entry.key)?;
            let value = self.value(&mut entry.value)?;
            of = if position == 0 { value } else { of.join(value) };
        }
        Ok(Type::Map(Box::new(of)))
    }

    /// A part that is used as a value of its own, which `tags`, `headers` and `caller` cannot be.
    fn value(&mut self, expression: &mut Expression) -> Result<Type, Problem> {
        match self.infer(expression)? {
            whole @ (Type::Caller | Type::Texts(_)) => {
                Err(wrong(format!("{} cannot be used here; name one of its fields", whole.describe())))
            }
            other => Ok(other),
        }
    }

    fn expect(&mut self, expression: &mut Expression, wanted: &Type, place: &str) -> Result<(), Problem> {
        let found = self.value(expression)?;
        if found == *wanted || found == Type::Unknown {
            return Ok(());
        }
        Err(wrong(format!("{place} takes {}, not {}", wanted.describe(), found.describe())))
    }

    fn call(&mut self, call: &mut CallExpr) -> Result<Type, Problem> {
        let name = call.func_name.clone();
        if let Some(target) = call.target.take() {
            if matches!(&target.expr, Expr::Ident(root) if root == "optional") {
                return Err(wrong("optional values are not available in conditions; ask with `has(…)`"));
            }
            return self.method(&name, *target, call);
        }
        match (name.as_str(), call.args.as_mut_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right]) => {
                let sign = if name == operators::LOGICAL_AND { "`&&`" } else { "`||`" };
                self.expect(left, &Type::Bool, sign)?;
                self.expect(right, &Type::Bool, sign)?;
                Ok(Type::Bool)
            }
            (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, [operand]) => {
                self.expect(operand, &Type::Bool, "`!`")?;
                Ok(Type::Bool)
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                self.expect(condition, &Type::Bool, "`? :`")?;
                let (yes, no) = (self.value(yes)?, self.value(no)?);
                Ok(yes.join(no))
            }
            (operators::NEGATE, [operand]) => match self.value(operand)? {
                number @ (Type::Int | Type::Double | Type::Unknown) => Ok(number),
                other => Err(wrong(format!("`-` takes a number, not {}", other.describe()))),
            },
            (operators::INDEX, [of, index]) => self.index(of, index),
            (operators::IN, [value, within]) => self.within(value, within),
            (_, [left, right]) if sign_of(&name).is_some() => self.binary(&name, left, right),
            ("matches", [_, _]) => {
                let pattern = call.args.pop();
                let text = call.args.pop();
                match (text, pattern) {
                    (Some(text), Some(pattern)) => self.matches(text, &pattern, call),
                    _ => Err(wrong("`matches` takes a text and a regular expression")),
                }
            }
            (_, [argument]) => self.conversion(&name, argument),
            _ => Err(unknown_function(&name)),
        }
    }

    fn conversion(&mut self, name: &str, argument: &mut Expression) -> Result<Type, Problem> {
        let of = self.value(argument)?;
        let is_scalar = of.is_number() || of == Type::Text;
        match (name, of) {
            ("size", Type::Text | Type::Bytes | Type::List(_) | Type::Map(_) | Type::Unknown) => {
                Ok(Type::Int)
            }
            ("int", _) if is_scalar => Ok(Type::Int),
            ("uint", _) if is_scalar => Ok(Type::Uint),
            ("double", _) if is_scalar => Ok(Type::Double),
            ("string", Type::Bool) => Ok(Type::Text),
            ("string", _) if is_scalar => Ok(Type::Text),
            ("size" | "int" | "uint" | "double" | "string", other) => {
                Err(wrong(format!("`{name}` does not take {}", other.describe())))
            }
            _ => Err(unknown_function(name)),
        }
    }

    /// Puts the target back, unless the call becomes one without a target.
    fn method(&mut self, name: &str, mut target: Expression, call: &mut CallExpr) -> Result<Type, Problem> {
        match (name, call.args.as_mut_slice()) {
            ("contains" | "startsWith" | "endsWith", [argument]) => {
                self.expect(&mut target, &Type::Text, &format!("`{name}`"))?;
                self.expect(argument, &Type::Text, &format!("`{name}`"))?;
                call.target = Some(Box::new(target));
                Ok(Type::Bool)
            }
            ("size", []) => {
                let size = self.conversion("size", &mut target)?;
                call.target = Some(Box::new(target));
                Ok(size)
            }
            ("matches", [_]) => match call.args.pop() {
                Some(pattern) => self.matches(target, &pattern, call),
                None => Err(wrong("`matches` takes a regular expression")),
            },
            ("contains" | "startsWith" | "endsWith" | "matches", _) => {
                Err(wrong(format!("`{name}` takes one argument: `text.{name}('…')`")))
            }
            _ => Err(unknown_function(name)),
        }
    }

    /// Rewrites the call so that it takes a prepared regular expression.
    fn matches(
        &mut self,
        mut text: Expression,
        pattern: &Expression,
        call: &mut CallExpr,
    ) -> Result<Type, Problem> {
        self.expect(&mut text, &Type::Text, "`matches`")?;
        let Expr::Literal(LiteralValue::String(source)) = &pattern.expr else {
            return Err(wrong(
                "`matches` takes a regular expression that is written out, not a computed one",
            ));
        };
        let built = regex::RegexBuilder::new(source.inner())
            .size_limit(limits::REGEX_BYTES)
            .dfa_size_limit(limits::REGEX_BYTES)
            .nest_limit(32)
            .build();
        let regex = built.map_err(|error| {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Problem {
                code: "condition_syntax",
                message: format!("`matches` takes a regular expression: {reason}"),
            }
        })?;
        let name = regex_name(self.regexes.len());
        self.regexes.push(RegexValue(regex));
        MATCHES.clone_into(&mut call.func_name);
        call.target = None;
        call.args = vec![text, Expression { id: pattern.id, expr: Expr::Ident(name) }];
        Ok(Type::Bool)
    }

    fn index(&mut self, of: &mut Expression, index: &mut Expression) -> Result<Type, Problem> {
        let of = self.infer(of)?;
        if let (Type::Texts(name), Expr::Literal(LiteralValue::String(key))) = (&of, &index.expr) {
            check_text_name(name, key.inner())?;
        }
        let by = self.value(index)?;
        match (of, by) {
            (Type::List(element), Type::Int | Type::Uint | Type::Unknown) => Ok(*element),
            (Type::Map(value), _) => Ok(*value),
            (Type::Texts(_), Type::Text | Type::Unknown) => Ok(Type::Text),
            (Type::Unknown, _) => Ok(Type::Unknown),
            (Type::Caller, _) => Err(wrong("write the field of `caller` after a dot: `caller.team`")),
            (of, by) => Err(wrong(format!("{} cannot be looked into by {}", of.describe(), by.describe()))),
        }
    }

    fn within(&mut self, value: &mut Expression, within: &mut Expression) -> Result<Type, Problem> {
        let within = self.infer(within)?;
        if let (Type::Texts(name), Expr::Literal(LiteralValue::String(key))) = (&within, &value.expr) {
            check_text_name(name, key.inner())?;
        }
        let value = self.value(value)?;
        match within {
            Type::List(element) if value.is_comparable(&element) => Ok(Type::Bool),
            Type::List(element) => Err(wrong(format!(
                "`in` asks for {} in a list of which each element is {}",
                value.describe(),
                element.describe()
            ))),
            Type::Texts(_) if matches!(value, Type::Text | Type::Unknown) => Ok(Type::Bool),
            Type::Map(_) | Type::Unknown => Ok(Type::Bool),
            other => Err(wrong(format!("`in` takes a list, `tags` or `headers`, not {}", other.describe()))),
        }
    }

    fn binary(&mut self, name: &str, left: &mut Expression, right: &mut Expression) -> Result<Type, Problem> {
        let (left, right) = (self.value(left)?, self.value(right)?);
        let sign = sign_of(name).unwrap_or(name);
        let refused =
            || Err(wrong(format!("`{sign}` cannot take {} and {}", left.describe(), right.describe())));
        match name {
            operators::EQUALS | operators::NOT_EQUALS if left.is_comparable(&right) => Ok(Type::Bool),
            operators::EQUALS | operators::NOT_EQUALS => Err(wrong(format!(
                "`{sign}` compares {} with {}, which are never equal",
                left.describe(),
                right.describe()
            ))),
            operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS => {
                let is_ordered = |of: &Type| of.is_number() || matches!(of, Type::Text | Type::Bool);
                if is_ordered(&left) && left.is_comparable(&right) { Ok(Type::Bool) } else { refused() }
            }
            operators::ADD => match (&left, &right) {
                (Type::Text, Type::Text) => Ok(Type::Text),
                (Type::List(_), Type::List(_)) => Ok(left.join(right)),
                _ if left.is_number() && right.is_number() && left.is_comparable(&right) => {
                    arithmetic(sign, left, right)
                }
                (Type::Text, Type::Unknown) | (Type::Unknown, Type::Text) => Ok(Type::Text),
                _ => refused(),
            },
            _ if left.is_number() && right.is_number() => arithmetic(sign, left, right),
            _ => refused(),
        }
    }

    /// What `exists`, `all`, `exists_one`, `filter` and `map` stand for.
    fn comprehension(&mut self, comprehension: &mut ComprehensionExpr) -> Result<Type, Problem> {
        if self.loops > 0 {
            return Err(wrong("a loop within a loop is not allowed in conditions"));
        }
        let element = match self.infer(&mut comprehension.iter_range)? {
            Type::List(element) => *element,
            Type::Unknown => Type::Unknown,
            Type::Texts(name) => {
                return Err(wrong(format!(
                    "a condition cannot go through `{name}`; ask with `'x' in {name}`"
                )));
            }
            other => return Err(wrong(format!("a condition cannot go through {}", other.describe()))),
        };
        if comprehension.iter_var2.is_some() {
            return Err(wrong("a loop has one variable"));
        }
        self.loops += 1;
        let start = self.infer(&mut comprehension.accu_init)?;
        self.scopes.push((comprehension.accu_var.clone(), start));
        self.scopes.push((comprehension.iter_var.clone(), element));
        self.infer(&mut comprehension.loop_cond)?;
        let step = self.infer(&mut comprehension.loop_step)?;
        self.scopes.pop();
        self.scopes.pop();
        self.scopes.push((comprehension.accu_var.clone(), step));
        let result = self.infer(&mut comprehension.result)?;
        self.scopes.pop();
        self.loops -= 1;
        Ok(result)
    }
}

/// How an operator with two sides is written.
fn sign_of(name: &str) -> Option<&'static str> {
    Some(match name {
        operators::EQUALS => "==",
        operators::NOT_EQUALS => "!=",
        operators::LESS => "<",
        operators::LESS_EQUALS => "<=",
        operators::GREATER => ">",
        operators::GREATER_EQUALS => ">=",
        operators::ADD => "+",
        operators::SUBSTRACT => "-",
        operators::MULTIPLY => "*",
        operators::DIVIDE => "/",
        operators::MODULO => "%",
        _ => return None,
    })
}

/// The interpreter computes only with numbers of one sort.
fn arithmetic(sign: &str, left: Type, right: Type) -> Result<Type, Problem> {
    if left == right || left == Type::Unknown || right == Type::Unknown {
        return Ok(left.join(right));
    }
    Err(wrong(format!(
        "`{sign}` takes two whole numbers or two decimal numbers; convert with `double(…)` or `int(…)`"
    )))
}

fn check_text_name(of: &str, name: &str) -> Result<(), Problem> {
    if of != "headers" {
        return Ok(());
    }
    if name.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(wrong(format!(
            "headers are asked for in lower case: `headers['{}']`",
            name.to_ascii_lowercase()
        )));
    }
    if is_hidden_header(name) {
        return Err(wrong(format!("`{name}` carries a credential, which conditions do not see")));
    }
    Ok(())
}

fn unknown_function(name: &str) -> Problem {
    if sign_of(name).is_some() || name.starts_with(['_', '@', '!', '-']) {
        return wrong("the condition uses an operator that is not available");
    }
    wrong(format!("`{name}` is not a function of conditions{}", hint(name, FUNCTIONS)))
}
