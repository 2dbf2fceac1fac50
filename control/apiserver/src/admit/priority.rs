//! `Priority`: the number behind a pod's priority class. Pure.

use serde_json::Value;

use super::{Notes, Operation, Request, View, fields};
use crate::failure::Outcome;

const GROUP: &str = "scheduling.k8s.io";
const CLASSES: &str = "priorityclasses";

/// Fills in a pod's priority.
pub(crate) fn mutate(request: &Request<'_>, object: &mut Value, view: &dyn View) -> Outcome<()> {
    if !request.is_for("", "pods") {
        return Ok(());
    }
    if request.operation == Operation::Update {
        keep(request.old, object, "priority");
        keep(request.old, object, "preemptionPolicy");
        return Ok(());
    }
    let named = fields::text(object, "/spec/priorityClassName").to_owned();
    let class = match named.as_str() {
        "" => default_class(view),
        name => match view.find(GROUP, CLASSES, "", name) {
            Some(class) => Some(class),
            None => {
                let why = format!("no PriorityClass with name {name} was found");
                return Err(request.forbid(object, &why));
            }
        },
    };
    if let (true, Some(class)) = (named.is_empty(), &class) {
        fields::put(object, &["spec", "priorityClassName"], fields::name(class));
    }
    let class = class.unwrap_or_default();
    set_priority(
        request,
        object,
        fields::number(&class, "/value").unwrap_or_default(),
    )?;
    let policy =
        fields::optional_text(&class, "/preemptionPolicy").unwrap_or("PreemptLowerPriority");
    set_policy(request, object, policy)
}

/// The default with the lowest number: several are left from races only.
fn default_class(view: &dyn View) -> Option<Value> {
    let all = view.list(GROUP, CLASSES, "").into_iter();
    let defaults = all.filter(|class| fields::flag(class, "/globalDefault") == Some(true));
    defaults.min_by_key(|class| fields::number(class, "/value"))
}

fn set_priority(request: &Request<'_>, pod: &mut Value, computed: i64) -> Outcome<()> {
    if let Some(given) = fields::number(pod, "/spec/priority").filter(|given| *given != computed) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {computed} from the given PriorityClass name"
        );
        return Err(request.forbid(pod, &why));
    }
    fields::put(pod, &["spec", "priority"], computed);
    Ok(())
}

fn set_policy(request: &Request<'_>, pod: &mut Value, computed: &str) -> Outcome<()> {
    let given = fields::optional_text(pod, "/spec/preemptionPolicy");
    if let Some(given) = given.filter(|given| *given != computed) {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {computed} from the given PriorityClass name"
        );
        return Err(request.forbid(pod, &why));
    }
    fields::put(pod, &["spec", "preemptionPolicy"], computed);
    Ok(())
}

/// What was decided at creation stays where an update leaves it out.
fn keep(old: &Value, new: &mut Value, field: &str) {
    let before = &old["spec"][field];
    if !before.is_null() && new["spec"][field].is_null() {
        fields::put(new, &["spec", field], before.clone());
    }
}

/// Decides whether a class may be the default.
pub(crate) fn validate(
    request: &Request<'_>,
    object: &Value,
    view: &dyn View,
    _: &mut Notes,
) -> Outcome<()> {
    let wants = fields::flag(object, "/globalDefault") == Some(true);
    if !request.is_for(GROUP, CLASSES) || !wants {
        return Ok(());
    }
    let Some(other) = default_class(view) else {
        return Ok(());
    };
    let other = fields::name(&other);
    if request.operation == Operation::Update && other == fields::name(object) {
        return Ok(());
    }
    let why =
        format!("PriorityClass {other} is already marked as default. Only one default can exist");
    Err(request.forbid(object, &why))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admit::tests::{World, request};
    use crate::auth::User;
    use crate::failure::Failure;

    fn world() -> World {
        World::default()
            .with(
                GROUP,
                CLASSES,
                json!({"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"}),
            )
            .with(
                GROUP,
                CLASSES,
                json!({"metadata": {"name": "usual"}, "value": 10, "globalDefault": true}),
            )
    }

    fn check(world: &World, spec: Value, expected: Result<Value, &str>) {
        let user = User::known("jane", []);
        let request = request(Operation::Create, "", "pods", &user, &fields::NULL);
        let mut pod = json!({"spec": spec});
        let found = mutate(&request, &mut pod, world);
        let found = found
            .as_ref()
            .map(|()| pod["spec"].clone())
            .map_err(Failure::message);
        assert_eq!(found, expected);
    }

    #[test]
    fn classes_become_numbers() {
        let high =
            json!({"priorityClassName": "high", "priority": 1000, "preemptionPolicy": "Never"});
        check(&world(), json!({"priorityClassName": "high"}), Ok(high));
        let usual = json!({"priorityClassName": "usual", "priority": 10, "preemptionPolicy": "PreemptLowerPriority"});
        check(&world(), json!({}), Ok(usual));
        let none = json!({"priority": 0, "preemptionPolicy": "PreemptLowerPriority"});
        check(&World::default(), json!({}), Ok(none));
        check(
            &world(),
            json!({"priorityClassName": "no"}),
            Err("pods \"x\" is forbidden: no PriorityClass with name no was found"),
        );
        check(
            &world(),
            json!({"priority": 5}),
            Err(
                "pods \"x\" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 10 from the given PriorityClass name",
            ),
        );
    }

    #[test]
    fn updates_keep_what_was_decided() {
        let (user, old) = (
            User::known("jane", []),
            json!({"spec": {"priority": 7, "preemptionPolicy": "Never"}}),
        );
        let request = request(Operation::Update, "", "pods", &user, &old);
        let mut pod = json!({"spec": {}});
        mutate(&request, &mut pod, &World::default()).unwrap();
        assert_eq!(pod, old);
    }

    #[test]
    fn there_is_one_default() {
        let (user, class) = (
            User::known("jane", []),
            json!({"metadata": {"name": "new"}, "globalDefault": true}),
        );
        let create = request(Operation::Create, GROUP, CLASSES, &user, &fields::NULL);
        let found = validate(&create, &class, &world(), &mut Notes::default()).unwrap_err();
        assert_eq!(
            found.message(),
            "priorityclasses.scheduling.k8s.io \"x\" is forbidden: PriorityClass usual is already marked as default. Only one default can exist"
        );
        let own = json!({"metadata": {"name": "usual"}, "globalDefault": true});
        let update = request(Operation::Update, GROUP, CLASSES, &user, &own);
        assert_eq!(
            validate(&update, &own, &world(), &mut Notes::default()),
            Ok(())
        );
    }
}
