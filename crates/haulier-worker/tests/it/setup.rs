//! What is wrong with a set-up is told at start, before a task is leased.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use haulier_core::{Code, State as TaskState};
use haulier_worker::{Ctx, FromTask, State, TaskError, Worker};
use tower::{Service, layer::layer_fn};

use crate::Job;
use crate::world::World;

async fn nothing(_: Job) -> Result<String, TaskError> {
    Ok(String::new())
}

async fn needs_number(_: Job, State(_): State<u32>) -> Result<String, TaskError> {
    Ok(String::new())
}

async fn refused(worker: Worker) -> String {
    let error = worker.run_until_idle().await.unwrap_err();
    assert_eq!(error.code(), Code::Invalid);
    error.to_string()
}

#[tokio::test]
async fn a_wrong_set_up_is_refused_at_start_with_what_to_change() {
    let world = World::new();
    let worker = || world.worker();
    for (worker, hint) in [
        (worker(), "add .register(handler)"),
        (worker().register(nothing).register(nothing), "job is registered twice"),
        (worker().register(needs_number), "add .state(...) with a u32"),
        (worker().register(nothing).queue("a/b"), "not a name"),
        (worker().register(nothing).concurrency(0), "0 slots"),
        (worker().register(nothing).limit("bulk", 2), "add .queue(\"bulk\")"),
        (worker().register(nothing).ttl(Duration::from_millis(1)), "between 100 ms and one hour"),
    ] {
        let told = refused(worker).await;
        assert!(told.contains(hint), "{told} does not say {hint}");
    }
    assert!(worker().register(needs_number).state(7u32).run_until_idle().await.is_ok());
}

#[tokio::test]
async fn handlers_take_their_own_arguments_and_may_end_the_attempt_while_taking_them() {
    struct Tenant(String);
    impl FromTask for Tenant {
        async fn from_task(ctx: &Ctx) -> Result<Self, TaskError> {
            let tenant = ctx.headers().get("tenant");
            tenant.map(|name| Self(name.to_owned())).ok_or_else(|| TaskError::reject("no tenant"))
        }
    }
    let world = World::new();
    let with =
        world.enqueue(0, |task| task.headers = [("tenant", "acme")].into_iter().collect()).await;
    let without = world.enqueue(1, |_| ()).await;
    let handler = async |_: Job, Tenant(tenant): Tenant, State(add): State<u32>, ctx: Ctx| {
        Ok::<_, TaskError>(format!("{tenant} {}", add + ctx.attempt()))
    };
    world.worker().register(handler).state(41u32).run_until_idle().await.unwrap();
    assert_eq!(crate::world::text(world.view(with).await.result.as_ref()), "\"acme 42\"");
    assert_eq!(world.state(without).await, TaskState::Dead);
}

#[tokio::test]
async fn layers_see_every_attempt_and_the_last_one_added_is_outermost() {
    /// Notes its name around the attempts that pass.
    #[derive(Clone)]
    struct Notes<S>(S, &'static str, Arc<Mutex<Vec<&'static str>>>);

    impl<S: Service<Ctx>> Service<Ctx> for Notes<S> {
        type Response = S::Response;
        type Error = S::Error;
        type Future = S::Future;
        fn poll_ready(
            &mut self,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), S::Error>> {
            self.0.poll_ready(cx)
        }
        fn call(&mut self, ctx: Ctx) -> S::Future {
            self.2.lock().unwrap().push(self.1);
            self.0.call(ctx)
        }
    }

    let world = World::new();
    let id = world.enqueue(0, |_| ()).await;
    let notes = Arc::new(Mutex::new(Vec::new()));
    let (inner, outer) = (Arc::clone(&notes), Arc::clone(&notes));
    let worker = world
        .worker()
        .layer(layer_fn(move |service| Notes(service, "inner", Arc::clone(&inner))))
        .layer(layer_fn(move |service| Notes(service, "outer", Arc::clone(&outer))))
        .register(nothing);
    worker.run_until_idle().await.unwrap();
    assert_eq!(*notes.lock().unwrap(), ["outer", "inner"]);
    assert_eq!(world.state(id).await, TaskState::Completed);
}
