//! The key of a service account, and the assertion it signs.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{SCOPE, TOKEN_URI};
use crate::upstream::auth::source::SourceError;

/// How long an assertion holds; it is used at once, and the token server allows an hour.
const LIFE_SECONDS: u64 = 3600;

/// The key file of a service account, as far as it is needed.
#[derive(Deserialize)]
pub(super) struct ServiceAccount {
    client_email: String,
    private_key: Zeroizing<String>,
    private_key_id: Option<String>,
    pub(super) token_uri: Option<String>,
}

impl ServiceAccount {
    /// States who we are, signed with the account's key.
    pub(super) fn assertion(&self, now_ms: u64) -> Result<Zeroizing<String>, SourceError> {
        let wrong = || {
            SourceError::broken("`private_key` of the service account is not an RSA key in PKCS #8 and PEM")
        };
        let der =
            PrivatePkcs8KeyDer::from_pem_slice(self.private_key.as_bytes()).map_err(|_unsaid| wrong())?;
        let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_unsaid| wrong())?;
        let issued = now_ms / 1000;
        let header = serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": self.private_key_id});
        let claims = serde_json::json!({
            "iss": self.client_email,
            "scope": SCOPE,
            "aud": self.token_uri.as_deref().unwrap_or(TOKEN_URI),
            "iat": issued,
            "exp": issued + LIFE_SECONDS,
        });
        let mut text = Zeroizing::new(String::new());
        URL_SAFE_NO_PAD.encode_string(header.to_string(), &mut text);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut text);
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_unsaid| wrong())?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(text)
    }
}
