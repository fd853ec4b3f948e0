//! Finding what a person names: a candidate by its id, or by its recipe.

use muster_flow::candidate::{Candidate, CandidateId};

use super::call::Failure;
use crate::store::Store;

/// How many candidates a search goes back.
const LIMIT: u32 = 500;

/// The candidate of that id; of a recipe, the newest on its way that suits, `None` when none does.
pub async fn on_its_way(
    store: &Store,
    name: &str,
    suits: impl Fn(&Candidate) -> bool,
) -> Result<Option<Candidate>, Failure> {
    let newest = candidate(store, name).await?;
    if newest.recipe.name != name.trim().trim_end_matches('/') {
        return Ok(Some(newest));
    }
    let open = store.open_candidates().await?;
    let is_it = |other: &Candidate| other.recipe.name == newest.recipe.name && !other.purpose.is_probe();
    let mut of_recipe = open.into_iter().rev().filter(is_it);
    Ok(of_recipe.find(|other| !other.stage().is_finished() && suits(other)))
}

/// The candidate of that id, or the newest of that recipe.
pub async fn candidate(store: &Store, name: &str) -> Result<Candidate, Failure> {
    let name = name.trim().trim_end_matches('/');
    if let Some(candidate) = store.candidate(&CandidateId(name.to_owned())).await? {
        return Ok(candidate);
    }
    let all = store.ids(LIMIT).await?;
    for id in all.iter().filter(|id| id.recipe() == name) {
        if let Some(candidate) = store.find_readable(id).await?
            && !candidate.purpose.is_probe()
        {
            return Ok(candidate);
        }
    }
    let recipe = name.split('/').next().unwrap_or(name);
    let mut known: Vec<&str> =
        all.iter().filter(|other| other.recipe() == recipe).map(|other| other.0.as_str()).collect();
    known.truncate(5);
    let next = if !known.is_empty() {
        format!("The newest of {recipe} are: {}", known.join(", "))
    } else if all.is_empty() {
        "There is no candidate at all yet; `muster trigger RECIPE --reason '...'` asks for one.".to_owned()
    } else {
        let mut recipes: Vec<&str> = all.iter().map(CandidateId::recipe).collect();
        recipes.sort_unstable();
        recipes.dedup();
        format!("There are candidates of: {}. `muster status` lists those on their way.", recipes.join(", "))
    };
    Err(Failure::not_found(format!("there is no candidate {name}"), next))
}
