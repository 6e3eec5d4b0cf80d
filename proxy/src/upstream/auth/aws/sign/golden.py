"""Writes golden.json: requests to Bedrock as botocore serialises and signs them, at a fixed time and with the keys of AWS's documents.

Run with botocore 1.44.5 to be imported: python golden.py > golden.json
"""

import datetime
import json

import botocore
import botocore.auth
import botocore.session
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOW = datetime.datetime(2026, 11, 21, 17, 0, 0, tzinfo=datetime.timezone.utc)
ID, SECRET, SESSION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzEXAMPLE//token+with/signs=="
HELLO = [{"role": "user", "content": [{"text": "Grüß Gott – 你好"}]}]

CASES = [
    ("us-east-1", None, "Converse", {"modelId": "anthropic.claude-3-5-sonnet-20240620-v1:0", "messages": HELLO}),
    ("eu-central-1", SESSION, "ConverseStream", {"modelId": "eu.amazon.nova-lite-v1:0", "messages": HELLO}),
    (
        "us-west-2",
        None,
        "Converse",
        {
            "modelId": "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.anthropic.claude-sonnet-4-v1:0",
            "messages": HELLO,
        },
    ),
    (
        "ap-northeast-1",
        SESSION,
        "InvokeModel",
        {"modelId": "anthropic.claude-3-haiku-20240307-v1:0", "body": b"{}", "contentType": "application/json"},
    ),
    (
        "us-east-1",
        None,
        "InvokeModelWithResponseStream",
        {
            "modelId": "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123",
            "body": b'{"max_tokens":1}',
            "contentType": "application/json",
            "guardrailIdentifier": "gr-1",
            "guardrailVersion": "DRAFT",
        },
    ),
]


def signed(region, session, operation, parameters):
    client = botocore.session.get_session().create_client(
        "bedrock-runtime", region_name=region, aws_access_key_id=ID, aws_secret_access_key=SECRET
    )
    sent = []
    client.meta.events.register_last(f"before-sign.bedrock-runtime.{operation}", lambda request, **_: sent.append(request))
    client.meta.events.register_last(
        f"before-send.bedrock-runtime.{operation}", lambda request, **_: botocore.awsrequest.AWSResponse("", 200, {}, None)
    )
    try:
        client._make_api_call(operation, parameters)
    except Exception:  # The empty answer cannot be read; the request was seen before that.
        pass
    seen = sent[0]
    body = seen.body if isinstance(seen.body, bytes) else seen.body.encode()
    headers = {
        name.lower(): value if isinstance(value, str) else value.decode()
        for name, value in seen.headers.items()
        if name.lower() == "content-type" or name.lower().startswith("x-amzn-bedrock-")
    }
    request = AWSRequest(method=seen.method, url=seen.url, headers=dict(headers), data=body)
    botocore.auth.SigV4Auth(Credentials(ID, SECRET, session), "bedrock", region).add_auth(request)
    return {
        "operation": operation,
        "region": region,
        "session_token": session,
        "method": seen.method,
        "url": seen.url,
        "headers": headers,
        "body": body.decode(),
        "amz_date": request.headers["X-Amz-Date"],
        "authorization": request.headers["Authorization"],
    }


botocore.auth.get_current_datetime = lambda remove_tzinfo=True: NOW.replace(tzinfo=None) if remove_tzinfo else NOW
document = {
    "made_with": f"botocore {botocore.__version__}",
    "unix_ms": int(NOW.timestamp() * 1000),
    "access_key_id": ID,
    "secret_access_key": SECRET,
    "cases": [signed(*case) for case in CASES],
}
print(json.dumps(document, indent=2, ensure_ascii=False))
