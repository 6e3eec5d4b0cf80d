use super::{event, whole};
use crate::StopReason;

#[test]
fn a_whole_response_is_counted_by_what_the_model_wrote() {
    let json = br#"{"id":"resp_1","model":"gpt","status":"completed","instructions":"not counted","output":[
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"12"}],"encrypted_content":"not"},
        {"type":"message","content":[{"type":"output_text","text":"345","annotations":[{"type":"url_citation","url":"not","title":"not"}]}]},
        {"type":"function_call","call_id":"not","name":"6","arguments":"{}"}]}"#;
    let probe = whole(json).unwrap();
    assert_eq!(probe.response.chars, 8);
    assert_eq!(probe.response.stop("completed").0, StopReason::ToolUse);
    assert!(probe.response.has_output && !probe.is_error);
}

#[test]
fn an_event_adds_what_its_delta_says() {
    let probe = event(
        br#"{"type":"response.output_text.delta","sequence_number":4,"delta":"h\u00e9","logprobs":[]}"#,
    )
    .unwrap();
    assert_eq!((probe.chars, probe.sequence, probe.is_known()), (3, Some(4), true));
    assert_eq!(event(br#"{"type":"response.audio.delta","delta":"AAAA"}"#).unwrap().chars, 0);
    assert!(!event(br#"{"type":"response.hologram","delta":{"a":1}}"#).unwrap().is_known());
}

#[test]
fn what_is_no_object_is_an_error_and_what_has_another_shape_is_passed_over() {
    assert!(event(b"[]").is_err());
    assert!(event(b"{} x").is_err());
    assert!(event(br#"{"type":7,"response":[{"id":1}],"delta":null,"sequence_number":-1}"#).is_ok());
    assert!(whole(br#"{"output":"x","usage":[],"incomplete_details":"x","error":null}"#).is_ok());
}
