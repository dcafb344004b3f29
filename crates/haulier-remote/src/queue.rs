//! The trait of producers and workers, over calls and streams.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use haulier_core::clock::millis;
use haulier_core::{
    Beat, BeatReply, Capabilities, Enqueued, Lease, NewTask, Queue, Result, Settled, Settlement,
    Want, WorkerId, limits,
};
use haulier_wire::frames::{check_items, cut_by};
use haulier_wire::task::Names;
use haulier_wire::{beat, enqueue, every_answer, lease, pb, settle};

use crate::call::{Repeat, read};
use crate::store::{RemoteStore, queue_client};
use crate::stream::{Stream, size};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Queue for RemoteStore {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        check_items(tasks.len(), "tasks")?;
        let mut answers = Vec::with_capacity(tasks.len());
        for tasks in cut_by(tasks, size::new_task) {
            let response = self.net.call(Repeat::Harmless, |channel| {
                let tasks = enqueue::encode_tasks(&tasks);
                let request = self.net.request(pb::EnqueueRequest { tasks });
                async move { queue_client(channel).enqueue(request).await }
            });
            let decoded = read(enqueue::decode_answers(response.await?))?;
            answers.extend(every_answer(tasks.len(), decoded)?);
        }
        Ok(answers)
    }

    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        check_items(wants.len(), "wants")?;
        let wait = wait.min(limits::WAIT_MAX);
        match <[Want; 1]>::try_from(wants) {
            Ok([want]) if !wait.is_zero() && want.max > 0 => {
                Ok(vec![self.streams.lease(want, wait).await?])
            }
            Ok([want]) => self.lease_unary(&[want], wait).await,
            Err(wants) => self.lease_unary(&wants, wait).await,
        }
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        check_items(beats.len(), "beats")?;
        check_items(beats.iter().map(|beat| beat.leases.len()).sum(), "leases")?;
        let mut replies = Vec::with_capacity(beats.len());
        for beat in beats {
            replies.push(self.beat_one(beat).await?);
        }
        Ok(replies)
    }

    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        let wait = wait.min(limits::WAIT_MAX);
        let news = self.streams.news(&worker);
        if self.streams.has(&worker) {
            return Ok(news.heard(&*self.net.clock, wait).await);
        }
        // The worker's stream may be opened in the meantime: it then hears what this call would
        // miss.
        tokio::select! {
            heard = self.watch_unary(&worker, wait) => heard,
            () = news.told() => Ok(true),
        }
    }

    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        check_items(ends.len(), "settlements")?;
        let parts = self.streams.part(ends);
        let mut answers: Vec<Option<Settled>> = Vec::new();
        answers.resize_with(parts.count, || None);
        // Side by side: one sync of the store's may do for all of them.
        let ways = parts.ways.into_iter().map(async |(stream, places, ends)| {
            (places, self.settle_by(stream.as_ref(), ends).await)
        });
        for (places, settled) in join_all(ways).await {
            for (place, answer) in places.into_iter().zip(settled?) {
                answers[place] = Some(answer);
            }
        }
        every_answer(parts.count, answers.into_iter().flatten().collect())
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }
}

impl RemoteStore {
    async fn lease_unary(&self, wants: &[Want], wait: Duration) -> Result<Vec<Vec<Lease>>> {
        let response = self.net.call(Repeat::OnlyIfUnsent, |channel| {
            let wants = wants.iter().map(lease::encode_want).collect();
            let request = self.net.request(pb::LeaseRequest { wants, wait_ms: millis(wait) });
            async move { queue_client(channel).lease(request).await }
        });
        let response = response.await?;
        let mut names = Names::default();
        let mut answers = Vec::with_capacity(wants.len());
        for leases in response.answers {
            answers.push(read(lease::decode_leases(leases.leases, &mut names))?);
        }
        every_answer(wants.len(), answers)
    }

    async fn beat_one(&self, beat: Beat) -> Result<BeatReply> {
        let stream = self.streams.get(&beat.worker);
        let Beat { worker, about, ttl, leases } = beat;
        let mut about = about;
        let mut whole: Option<BeatReply> = None;
        let mut parts = cut_by(leases, size::lease_beat);
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        for leases in parts {
            let count = leases.len();
            let part = Beat { worker: worker.clone(), about: about.take(), ttl, leases };
            let reply = match &stream {
                Some(stream) => match stream.beat(part).await {
                    Ok(reply) => reply?,
                    Err(part) => self.beat_unary(&part).await?,
                },
                None => self.beat_unary(&part).await?,
            };
            let held = every_answer(count, reply.held)?;
            match &mut whole {
                Some(whole) => whole.held.extend(held),
                None => whole = Some(BeatReply { directive: reply.directive, held }),
            }
        }
        whole.ok_or_else(|| haulier_core::Error::internal("a beat was cut into nothing"))
    }

    async fn beat_unary(&self, one: &Beat) -> Result<BeatReply> {
        let response = self.net.call(Repeat::Harmless, |channel| {
            let request = self.net.request(pb::BeatRequest { beats: vec![beat::encode_beat(one)] });
            async move { queue_client(channel).beat(request).await }
        });
        let mut replies = every_answer(1, response.await?.replies)?;
        read(beat::decode_reply(replies.pop()))
    }

    async fn watch_unary(&self, worker: &WorkerId, wait: Duration) -> Result<bool> {
        let response = self.net.call(Repeat::Harmless, |channel| {
            let worker = worker.as_str().to_owned();
            let request = self.net.request(pb::WatchRequest { worker, wait_ms: millis(wait) });
            async move { queue_client(channel).watch(request).await }
        });
        Ok(response.await?.news)
    }

    async fn settle_by(
        &self,
        stream: Option<&Stream>,
        ends: Vec<Settlement>,
    ) -> Result<Vec<Settled>> {
        let Some(stream) = stream else { return self.settle_unary(ends).await };
        let mut answers = Vec::with_capacity(ends.len());
        for ends in cut_by(ends, size::settlement) {
            answers.extend(match stream.settle(ends).await {
                Ok(settled) => settled?,
                Err(ends) => self.settle_unary(ends).await?,
            });
        }
        Ok(answers)
    }

    async fn settle_unary(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        let mut answers = Vec::with_capacity(ends.len());
        for ends in cut_by(ends, size::settlement) {
            let response = self.net.call(Repeat::Harmless, |channel| {
                let settlements = settle::encode_settlements(&ends);
                let request = self.net.request(pb::SettleRequest { settlements });
                async move { queue_client(channel).settle(request).await }
            });
            let decoded = read(settle::decode_answers(response.await?.answers))?;
            answers.extend(every_answer(ends.len(), decoded)?);
        }
        Ok(answers)
    }
}
