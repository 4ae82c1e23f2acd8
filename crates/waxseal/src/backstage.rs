//! What the API does elsewhere in the program.

use std::sync::Arc;

use console::{Api, Backstage, Refused, Who};
use envelope::{Clock, RelayId};
use relay::{Intake, IntakeError, Taken};
use serde_json::{Value, json};
use store::Store;
use track::{Correction, CorrectionError};

use crate::config::Config;
use crate::house::House;
use crate::wiring;

/// The API of a running relay.
pub(crate) fn api(config: &Config, house: &House, clock: Arc<dyn Clock>) -> Api {
    let intake = wiring::intake(config, house.store.clone(), house.keys.clone(), clock.clone());
    let backstage = Arc::new(Stage { store: house.store.clone(), clock: clock.clone(), intake });
    Api { store: house.store.clone(), backstage, clock }
}

struct Stage {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    intake: Intake,
}

#[async_trait::async_trait]
impl Backstage for Stage {
    async fn take_report(&self, raw: &[u8]) -> Result<Value, Refused> {
        match self.intake.take(raw).await {
            Ok(taken) => Ok(as_json(&taken)),
            Err(error @ IntakeError::Store(_)) => Err(Refused::Later(error.to_string())),
            Err(refused) => Err(Refused::Wrong(refused.to_string())),
        }
    }

    async fn correct(&self, event: RelayId, who: Who) -> Result<Value, Refused> {
        let correction = match who {
            Who::Me => Correction::Me,
            Who::Person => Correction::Person,
            Who::Machine => Correction::Machine,
        };
        match track::correct(&*self.store, &*self.clock, event, correction).await {
            Ok(event) => serde_json::to_value(event).map_err(|error| Refused::Later(error.to_string())),
            Err(error @ CorrectionError::Unknown(_)) => Err(Refused::Unknown(error.to_string())),
            Err(error @ CorrectionError::NoHit { .. }) => Err(Refused::Wrong(error.to_string())),
            Err(error @ CorrectionError::Store(_)) => Err(Refused::Later(error.to_string())),
        }
    }
}

/// `{"message": …, "sender": …, "items": [{"recipient": 0, "address": …, "kind": "hard", "status": "5.1.1"}]}`
pub(crate) fn as_json(taken: &Taken) -> Value {
    let items: Vec<Value> = taken
        .items
        .iter()
        .map(|item| {
            json!({
                "recipient": item.recipient,
                "address": item.address,
                "kind": item.kind.code(),
                "status": item.status,
            })
        })
        .collect();
    json!({ "message": taken.message.to_string(), "sender": taken.sender, "items": items })
}
