use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};

use super::Api;
use super::problem::Problem;
use super::token::{self, Scope};

/// Whoever asks, by the token of the request.
pub(super) struct Access {
    owner: String,
    scopes: Vec<Scope>,
}

impl Access {
    /// # Errors
    /// 403 when the token is not for that.
    pub(super) fn needs(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        Err(Problem::new(StatusCode::FORBIDDEN, format!("this token has not the scope \"{scope}\"")))
    }

    /// Whose mail is seen; `None`: everybody's.
    pub(super) fn owner(&self) -> Option<&str> {
        (!self.scopes.contains(&Scope::Everyone)).then_some(self.owner.as_str())
    }

    /// May mail of this sender be seen? Nobody's is the operator's.
    pub(super) fn sees(&self, sender: Option<&str>) -> bool {
        match self.owner() {
            None => true,
            Some(owner) => sender.is_some_and(|sender| sender.eq_ignore_ascii_case(owner)),
        }
    }
}

impl FromRequestParts<Api> for Access {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let refused = || {
            let why = "a token is needed: Authorization: Bearer wxs_…; `waxseal token add` makes one";
            Problem::new(StatusCode::UNAUTHORIZED, why)
        };
        let mut fields = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else { return Err(refused()) };
        let (scheme, text) =
            field.to_str().ok().and_then(|field| field.split_once(' ')).ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        let (name, secret) = token::parts(text.trim()).ok_or_else(refused)?;
        let kept = api.store.api_token(name).await?.ok_or_else(refused)?;
        if !token::is_right(secret, &kept, api.clock.now()) {
            return Err(refused());
        }
        let scopes = kept.scopes.split(' ').filter_map(Scope::from_code).collect();
        Ok(Self { owner: kept.owner, scopes })
    }
}
