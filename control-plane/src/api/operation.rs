//! One operation of the admin API as a value: how it is called, what it takes and answers, who serves it. The router and
//! the OpenAPI document are made from the same list, so neither can have what the other lacks.

use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::auth::{self, Door};
use super::{Api, body};

/// Makes a type's schema within a document.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Put,
    Post,
    Delete,
}

impl Method {
    /// As OpenAPI writes it.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }

    const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Put => MethodFilter::PUT,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// What an operation answers with when it does what was asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Json(SchemaOf),
    Text,
}

/// An operation without the function that serves it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    /// Stable: the OpenAPI `operationId` and a metric label.
    pub(super) id: &'static str,
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) is_open: bool,
    /// Takes a body of up to [`body::MAX_CHANGE_BYTES`].
    pub(super) is_large: bool,
    /// Takes YAML as well.
    pub(super) takes_yaml: bool,
    /// Request headers that change what happens.
    pub(super) headers: &'static [&'static str],
    pub(super) query: Option<SchemaOf>,
    pub(super) takes: Option<SchemaOf>,
    pub(super) status: u16,
    pub(super) answer: Answer,
}

/// An operation and who serves it.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) operation: Operation,
    handler: MethodRouter<Api>,
}

impl Operation {
    pub(super) const fn get(id: &'static str, path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::Get, id, path, summary)
    }

    pub(super) const fn put(id: &'static str, path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::Put, id, path, summary)
    }

    pub(super) const fn post(id: &'static str, path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::Post, id, path, summary)
    }

    pub(super) const fn delete(id: &'static str, path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::Delete, id, path, summary)
    }

    const fn new(method: Method, id: &'static str, path: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            method,
            path,
            summary,
            is_open: false,
            is_large: false,
            takes_yaml: false,
            headers: &[],
            query: None,
            takes: None,
            status: 200,
            answer: Answer::Text,
        }
    }

    /// Anyone may call it.
    pub(super) const fn open(self) -> Self {
        Self { is_open: true, ..self }
    }

    /// Its body may be a whole policy.
    pub(super) const fn large(self) -> Self {
        Self { is_large: true, ..self }
    }

    /// Its body may be YAML.
    pub(super) const fn yaml(self) -> Self {
        Self { takes_yaml: true, ..self }
    }

    /// Request headers that change what happens.
    pub(super) const fn heeds(self, headers: &'static [&'static str]) -> Self {
        Self { headers, ..self }
    }

    pub(super) fn query<T: JsonSchema>(self) -> Self {
        Self { query: Some(|schemas| T::json_schema(schemas)), ..self }
    }

    pub(super) fn takes<T: JsonSchema>(self) -> Self {
        Self { takes: Some(SchemaGenerator::subschema_for::<T>), ..self }
    }

    pub(super) fn answers<T: JsonSchema>(self, status: u16) -> Self {
        Self { status, answer: Answer::Json(SchemaGenerator::subschema_for::<T>), ..self }
    }

    /// Its answer is plain text.
    pub(super) const fn text(self) -> Self {
        Self { answer: Answer::Text, ..self }
    }

    /// Names who serves it.
    pub(super) fn at<H, T>(self, handler: H) -> Route
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        Route { operation: self, handler: on(self.method.filter(), handler) }
    }
}

impl Route {
    /// The path as the router writes it. Names of resources may hold slashes.
    fn served_path(&self) -> String {
        self.operation.path.replace("{name}", "{*name}")
    }

    /// Adds the operation to the router, behind its door and its cap.
    pub(super) fn attach(self, router: axum::Router<Api>, api: &Api) -> axum::Router<Api> {
        let path = self.served_path();
        let cap = if self.operation.is_large { body::MAX_CHANGE_BYTES } else { body::MAX_BODY_BYTES };
        let door = Door { operation: self.operation.id, is_open: self.operation.is_open };
        let guarded = self
            .handler
            .route_layer(DefaultBodyLimit::max(cap))
            .route_layer(from_fn_with_state((Api::clone(api), door), auth::pass));
        router.route(&path, guarded)
    }
}
