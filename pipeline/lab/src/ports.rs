//! Every port, over the pretend world.

use std::collections::BTreeMap;

use anyhow::anyhow;
use async_trait::async_trait;
use muster::package_sets::PackageSets;
use muster::port::{self, Observation, Port, Ports};
use muster_flow::announce::{Announce, Announced, Announcement};
use muster_flow::build::{Artifact, Build, BuildOutput, BuildRequest, Package};
use muster_flow::difference;
use muster_flow::publish::{
    Promote, PromoteOutput, PromoteRequest, Upload, UploadOutput, UploadRequest, Uploaded, Verify,
    VerifyOutput, VerifyRequest,
};
use muster_flow::recipe::{Form, Product};
use muster_flow::smoketest::{Colour, Smoketest, SmoketestOutput, SmoketestRequest, TestResult};
use muster_flow::step::{Handle, StepKey, Work};

use crate::brink::Brink;
use crate::world::{Fault, Manners, World};

/// Every port of a world.
pub fn ports(world: &World) -> Ports {
    mortal_ports(world, &Brink::default())
}

/// Every port of a world, for a process that may die whenever it calls one.
pub fn mortal_ports(world: &World, brink: &Brink) -> Ports {
    let adapter = || Adapter { world: world.clone(), brink: brink.clone() };
    Ports {
        build: Box::new(adapter()),
        smoketest: Box::new(adapter()),
        upload: Box::new(adapter()),
        verify: Box::new(adapter()),
        promote: Box::new(adapter()),
        announce: Box::new(adapter()),
    }
}

/// An adapter of the pretend world. Its handles carry key and request, so that it needs no memory of its own.
struct Adapter {
    world: World,
    brink: Brink,
}

/// What the pretend world makes of each kind of work.
trait Pretend: Work {
    /// The effect outside, besides that it was begun.
    fn effect(_world: &World, _key: &StepKey, _request: &Self::Request) {}
    /// What comes of it.
    fn output(world: &World, key: &StepKey, request: &Self::Request) -> Self::Output;
}

#[async_trait]
impl<W: Pretend> Port<W> for Adapter {
    async fn ensure(&self, key: &StepKey, request: &W::Request) -> Result<Handle, port::Fault> {
        self.brink.moment(format!("before beginning {key}")).await;
        let handle = Handle(format!("{}\n{}", key, encode::<W>(request)?));
        let mut answer_lost = false;
        {
            let mut state = self.world.state();
            *state.asked.entry(key.0.clone()).or_default() += 1;
            match state.fault_of(&key.0) {
                Some(Fault::Flaky(left)) if *left > 0 => {
                    *left -= 1;
                    return Err(port::Fault::Retry("the network was away".to_owned()));
                }
                Some(Fault::Away(left)) if *left > 0 => {
                    *left -= 1;
                    return Err(port::Fault::Away("nobody answers".to_owned()));
                }
                Some(Fault::AnswerLost(left)) if *left > 0 => {
                    *left -= 1;
                    answer_lost = true;
                }
                _ => {}
            }
            if state.begun.contains_key(&key.0) && state.manners == Manners::Looks {
                return Ok(handle);
            }
            *state.begun.entry(key.0.clone()).or_default() += 1;
        }
        W::effect(&self.world, key, request);
        self.brink.moment(format!("after beginning {key}")).await;
        if answer_lost { Err(port::Fault::Retry("the answer was lost".to_owned())) } else { Ok(handle) }
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation<W::Output>, port::Fault> {
        let (key, request) = decode::<W>(handle)?;
        self.brink.moment(format!("before looking at {key}")).await;
        {
            let mut state = self.world.state();
            let looks = state.looks.entry(key.0.clone()).or_default();
            *looks += 1;
            let looks = *looks;
            match state.fault_of(&key.0) {
                Some(Fault::Fails(reason)) => return Ok(Observation::Failed(reason.clone())),
                Some(fault @ Fault::VanishesOnce) => {
                    *fault = Fault::Flaky(0);
                    state.begun.remove(&key.0);
                    return Ok(Observation::Vanished("it was swept away".to_owned()));
                }
                Some(Fault::Vanishes) => {
                    state.begun.remove(&key.0);
                    return Ok(Observation::Vanished("its process was killed".to_owned()));
                }
                Some(Fault::Hangs) => return Ok(Observation::Running("under way".to_owned())),
                _ if looks == 1 && matches!(W::NAME, "build" | "smoketest") => {
                    return Ok(Observation::Running("under way".to_owned()));
                }
                _ => {}
            }
        }
        Ok(Observation::Succeeded(W::output(&self.world, &key, &request)))
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), port::Fault> {
        let (key, _) = decode::<W>(handle)?;
        self.brink.moment(format!("before ending {key}")).await;
        if let Some(Fault::Lingers(left)) = self.world.state().fault_of(&key.0)
            && *left > 0
        {
            *left -= 1;
            return Err(port::Fault::NotYet("it is being ended".to_owned()));
        }
        self.world.state().cancelled.push(key.0.clone());
        self.brink.moment(format!("after ending {key}")).await;
        Ok(())
    }
}

fn encode<W: Work>(request: &W::Request) -> Result<String, port::Fault> {
    muster::encode(request).map_err(port::Fault::give_up)
}

fn decode<W: Work>(handle: &Handle) -> Result<(StepKey, W::Request), port::Fault> {
    let (key, request) =
        handle.0.split_once('\n').ok_or_else(|| port::Fault::give_up(anyhow!("no such handle")))?;
    Ok((StepKey(key.to_owned()), muster::decode(request).map_err(port::Fault::give_up)?))
}

impl Pretend for Build {
    fn output(world: &World, key: &StepKey, request: &BuildRequest) -> BuildOutput {
        let artifact = |form: Form| Artifact {
            form,
            arch: request.arch.clone(),
            name: format!("{}.{}", request.file_stem, form.extension()),
            path: format!("/nowhere/{}", key.flat()),
            size: 7,
            digest: "0".repeat(64),
        };
        let forms: &[Form] = match request.product {
            Product::Disk => &[Form::Raw, Form::Qcow2],
            Product::Container => &[Form::Oci],
            Product::Ostree => &[Form::OstreeCommit, Form::Qcow2],
        };
        BuildOutput {
            artifacts: forms.iter().map(|form| artifact(*form)).collect(),
            packages: install(world, request),
            ..BuildOutput::default()
        }
    }
}

/// The newest of each package that the build may take.
fn install(world: &World, request: &BuildRequest) -> Vec<Package> {
    let state = world.state();
    let set = request.allowed.set.as_ref();
    let set = set.and_then(|name| PackageSets::below(state.folder.as_ref()?).read(name).ok());
    let without = &request.allowed.without;
    let may_take =
        |package: &&Package| set.as_ref().is_none_or(|set| set.has(package)) && !without.contains(package);
    let mut repository = state.repository.clone();
    if repository.is_empty() {
        repository =
            ["bash-1-1.x86_64", "glibc-1-1.x86_64"].into_iter().filter_map(Package::of_nevra).collect();
    }
    let mut newest: BTreeMap<String, Package> = BTreeMap::new();
    for package in repository.iter().filter(may_take) {
        let known = newest.entry(package.name.clone()).or_insert_with(|| package.clone());
        if difference::order(known, package).is_lt() {
            known.clone_from(package);
        }
    }
    newest.into_values().collect()
}

impl Pretend for Smoketest {
    fn output(world: &World, key: &StepKey, request: &SmoketestRequest) -> SmoketestOutput {
        let colour = match world.state().fault_of(&key.0) {
            Some(Fault::Red) => Colour::Red("it is red".to_owned()),
            Some(Fault::RedWith(package)) if request.packages.contains(package) => {
                Colour::Red(format!("{package} is on it"))
            }
            _ => Colour::Green,
        };
        let results = request.tests.iter().map(|test| TestResult {
            name: test.name.clone(),
            weight: test.weight,
            colour: colour.clone(),
            duration_ms: 1,
            log: String::new(),
            expected_failure: test.expected_failure.clone(),
        });
        SmoketestOutput { results: results.collect(), place: "lab".to_owned(), ..SmoketestOutput::default() }
    }
}

impl Pretend for Upload {
    fn output(_: &World, _: &StepKey, request: &UploadRequest) -> UploadOutput {
        let uploaded = request.artifacts.iter().map(|artifact| Uploaded {
            name: artifact.name.clone(),
            arch: artifact.arch.clone(),
            location: format!("lab:{}/{}", request.destination.name, artifact.name),
            digest: artifact.digest.clone(),
            size: artifact.size,
        });
        UploadOutput { uploaded: uploaded.collect() }
    }
}

impl Pretend for Verify {
    fn output(_: &World, _: &StepKey, request: &VerifyRequest) -> VerifyOutput {
        VerifyOutput { checked: request.uploaded.iter().map(|uploaded| uploaded.location.clone()).collect() }
    }
}

impl Pretend for Promote {
    fn effect(world: &World, _: &StepKey, request: &PromoteRequest) {
        let (pointer, version) = pointer(request);
        let mut state = world.state();
        state.pointers.insert(pointer.clone(), version.clone());
        state.moves.push((pointer, version));
    }

    fn output(_: &World, _: &StepKey, request: &PromoteRequest) -> PromoteOutput {
        PromoteOutput { pointers: vec![pointer(request).0] }
    }
}

fn pointer(request: &PromoteRequest) -> (String, String) {
    match request {
        PromoteRequest::Destination { upload, .. } => {
            (format!("{}:{}", upload.destination.name, upload.destination.path), upload.candidate.clone())
        }
        PromoteRequest::Stream { stream, release } => {
            (format!("stream:{stream}/{}", release.recipe), release.candidate.clone())
        }
    }
}

impl Pretend for Announce {
    fn effect(world: &World, key: &StepKey, request: &Announcement) {
        let mut state = world.state();
        let message =
            state.messages.entry(message_id(key)).or_insert_with(|| (request.topic().to_owned(), 0));
        message.1 += 1;
    }

    fn output(_: &World, key: &StepKey, _: &Announcement) -> Announced {
        Announced { message_id: message_id(key) }
    }
}

fn message_id(key: &StepKey) -> String {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, key.0.as_bytes()).to_string()
}
