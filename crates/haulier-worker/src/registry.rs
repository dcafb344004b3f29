//! Which handler does which kind, with the layers around them. Built once, at start, where
//! everything that is wrong with it is told.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use haulier_core::{Error, Kind, Payload, Result};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

use crate::ctx::Ctx;
use crate::error::TaskError;
use crate::states::States;
use crate::task::Input;

/// What an attempt returns.
pub(crate) type Returned = Result<Option<Payload>, TaskError>;
/// An attempt that runs.
pub(crate) type Running = Pin<Box<dyn Future<Output = Returned> + Send>>;
/// A handler whose types are forgotten.
type Erased = Arc<dyn Fn(Ctx) -> Running + Send + Sync>;
/// The service that layers wrap: an attempt in, what its handler returned out.
pub type AttemptService = BoxCloneSyncService<Ctx, Option<Payload>, TaskError>;
type Wrap = Arc<dyn Fn(AttemptService) -> AttemptService + Send + Sync>;
type Check = fn(&States) -> Result<(), String>;

/// Handlers as they are registered, right or wrong.
#[derive(Clone, Default)]
pub(crate) struct Registry {
    handlers: BTreeMap<Kind, Erased>,
    every: Option<Erased>,
    checks: Vec<(String, Check)>,
    layers: Vec<Wrap>,
    /// What was wrong with a registration; told when the worker starts.
    wrong: Vec<String>,
}

impl Registry {
    /// Registers a handler for a kind; `None`: for every kind that has none of its own.
    pub fn add(&mut self, kind: Option<&str>, check: Check, handler: Erased) {
        let name = kind.unwrap_or("every kind").to_owned();
        let taken = match kind.map(Kind::new).transpose() {
            Ok(Some(kind)) => self.handlers.insert(kind, handler).is_some(),
            Ok(None) => self.every.replace(handler).is_some(),
            Err(refusal) => return self.wrong.push(refusal.message),
        };
        if taken {
            self.wrong.push(format!("{name} is registered twice; keep one of its handlers"));
        }
        self.checks.push((name, check));
    }

    /// Adds a layer around all handlers; the last one is outermost.
    pub fn layer<L>(&mut self, layer: L)
    where
        L: Layer<AttemptService> + Send + Sync + 'static,
        L::Service: Service<Ctx, Response = Option<Payload>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Ctx>>::Error: Into<TaskError>,
        <L::Service as Service<Ctx>>::Future: Send + 'static,
    {
        self.layers.push(Arc::new(move |inner| {
            BoxCloneSyncService::new(layer.layer(inner).map_err(Into::into))
        }));
    }

    /// Checks everything and puts the layers on.
    pub fn build(&self, states: &States) -> Result<Handlers> {
        let missing = self.checks.iter().filter_map(|(name, check)| {
            check(states).err().map(|why| format!("the handler of {name} cannot run: {why}"))
        });
        let mut wrong: Vec<String> = self.wrong.iter().cloned().chain(missing).collect();
        if self.handlers.is_empty() && self.every.is_none() {
            wrong.push("no handler is registered; add .register(handler)".to_owned());
        }
        if self.handlers.len() > haulier_core::limits::WANT_NAMES_MAX {
            wrong.push(format!(
                "{} kinds are registered; at most {} fit a worker, so start several",
                self.handlers.len(),
                haulier_core::limits::WANT_NAMES_MAX
            ));
        }
        if !wrong.is_empty() {
            return Err(Error::invalid("worker", wrong.join("; ")));
        }
        let plain = Plain(Arc::new((self.handlers.clone(), self.every.clone())));
        let layered = self.layers.split_first().map(|(first, rest)| {
            let inner = first(BoxCloneSyncService::new(plain.clone()));
            rest.iter().fold(inner, |inner, layer| layer(inner))
        });
        Ok(Handlers { plain, layered })
    }
}

/// Handlers ready to run.
#[derive(Clone)]
pub(crate) struct Handlers {
    plain: Plain,
    layered: Option<AttemptService>,
}

impl Handlers {
    /// The kinds to lease; empty: every kind.
    pub fn kinds(&self) -> Vec<Kind> {
        match &*self.plain.0 {
            (_, Some(_)) => Vec::new(),
            (handlers, None) => handlers.keys().cloned().collect(),
        }
    }

    /// Begins an attempt.
    pub fn call(&self, ctx: Ctx) -> Running {
        match &self.layered {
            // Layers cost a clone an attempt; who has none does not pay for it.
            Some(layered) => Box::pin(layered.clone().oneshot(ctx)),
            None => self.plain.run(ctx),
        }
    }
}

/// The handlers without layers, as the innermost service.
#[derive(Clone)]
struct Plain(Arc<(BTreeMap<Kind, Erased>, Option<Erased>)>);

impl Plain {
    fn run(&self, ctx: Ctx) -> Running {
        let (handlers, every) = &*self.0;
        match handlers.get(&ctx.task().kind).or(every.as_ref()) {
            Some(handler) => handler(ctx),
            // The store gave what was not asked for: somebody else may know the kind.
            None => Box::pin(std::future::ready(Err(TaskError::release()))),
        }
    }
}

impl Service<Ctx> for Plain {
    type Response = Option<Payload>;
    type Error = TaskError;
    type Future = Running;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TaskError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ctx: Ctx) -> Running {
        self.run(ctx)
    }
}

/// Writes what a handler returned. What cannot be written will not be the next time either.
pub(crate) fn written<T: Input>(output: T::Output) -> Returned {
    T::encode_output(output).map_err(TaskError::reject)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.handlers.keys()).finish()
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.plain.0.0.keys()).finish()
    }
}
