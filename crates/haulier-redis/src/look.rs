//! Looking after an open store, once a minute: whether Redis is still set up as it must be, and
//! whether everything that must be there is there. A key that was evicted or deleted takes a whole
//! index with it, and nobody might ask for it for days; whoever finds it stops the store, so that
//! nothing is acknowledged that stands on half of one.

use std::sync::Arc;

use haulier_core::{Code, Error, Result};

use crate::error::{Fatal, OpenError};
use crate::pack::Pack;
use crate::store::Inner;
use crate::{check, script};

/// Looks before anything is served.
pub(crate) async fn start_up(inner: &Inner) -> Result<(), OpenError> {
    match damage(inner).await.map_err(OpenError::from_call)? {
        None => Ok(()),
        Some(text) => Err(OpenError::Refused(Error::new(Code::NotSupported, text))),
    }
}

/// Begins to look from time to time.
pub(crate) fn start(inner: &Arc<Inner>) {
    let task = keep_looking(Arc::clone(inner));
    inner.beside().spawn(task);
}

async fn keep_looking(inner: Arc<Inner>) {
    let mut closing = inner.closing();
    loop {
        tokio::select! {
            () = inner.pace.sleep(inner.options.recheck) => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
        match look(&inner).await {
            Ok(None) => {}
            Ok(Some(fatal)) => return inner.fail(fatal),
            Err(error) => tracing::debug!("the look failed: {error:#}"),
        }
    }
}

/// One look.
async fn look(inner: &Inner) -> Result<Option<Fatal>> {
    match check::again(&inner.db, &inner.options).await? {
        Err(trouble) => return Ok(Some(Fatal::Refused(trouble))),
        Ok(durability) => inner.set_durability(durability),
    }
    Ok(damage(inner).await?.map(Fatal::Damaged))
}

/// What is missing that must be there.
async fn damage(inner: &Inner) -> Result<Option<String>> {
    let mut args = Pack::new();
    args.array(0);
    let wrong = inner.read(&script::LOOK, args).await?.list()?;
    if wrong.is_empty() {
        return Ok(None);
    }
    let said = wrong.into_iter().map(|one| {
        let [number, should, holds] = one.tuple()?;
        let name = inner.db.keys.name(number.count()?);
        Ok(missing(name, should.int()?, holds.int()?))
    });
    let said: Vec<String> = said.collect::<Result<_>>()?;
    Ok(Some(format!(
        "{}: was something deleted or evicted? Restore Redis from its backup",
        said.join(", ")
    )))
}

fn missing(key: &str, should: i64, holds: i64) -> String {
    match (should, holds) {
        (..0, _) => format!("the key {key} is gone"),
        _ => format!("the key {key} holds {holds} instead of {should}"),
    }
}
