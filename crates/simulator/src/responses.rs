//! OpenAI's Responses API: responses whole, streamed and in the background, what is stored of them, and token counts.
//! Errors and headers are those of OpenAI's other endpoints.

mod answer;
mod items;
mod request;
mod rules;
mod stored;
mod stream;

use crate::routes::{Route, Surface};

/// What OpenAI serves of it, and the same on Azure.
pub(crate) const ROUTES: &[Route] = &[
    Route::post("/v1/responses", Surface::OpenAi, request::read),
    Route::post("/v1/responses/input_tokens", Surface::OpenAi, request::read_count),
    Route::get("/v1/responses/{id}", Surface::OpenAi, stored::read_get),
    Route::delete("/v1/responses/{id}", Surface::OpenAi, stored::read_delete),
    Route::post("/v1/responses/{id}/cancel", Surface::OpenAi, stored::read_cancel),
    Route::get("/v1/responses/{id}/input_items", Surface::OpenAi, stored::read_input_items),
];
