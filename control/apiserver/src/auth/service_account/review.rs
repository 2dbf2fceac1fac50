//! `TokenReview`: what is said of a token. Pure.

use serde_json::{Map, Value, json};

use crate::auth::User;

/// Somebody as reviews show them.
pub(crate) fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    info.insert("username".to_owned(), user.name.as_str().into());
    if !user.uid.is_empty() {
        info.insert("uid".to_owned(), user.uid.as_str().into());
    }
    if !user.groups.is_empty() {
        info.insert("groups".to_owned(), user.groups.clone().into());
    }
    if !user.extra.is_empty() {
        info.insert("extra".to_owned(), json!(user.extra));
    }
    Value::Object(info)
}

/// The status of a review, from whom the token is of and for which audiences, or why it is no good.
pub(crate) fn status(found: Result<(&User, &[String]), &str>) -> Value {
    match found {
        Ok((user, [])) => json!({"authenticated": true, "user": user_info(user)}),
        Ok((user, audiences)) => {
            json!({"authenticated": true, "user": user_info(user), "audiences": audiences})
        }
        Err("") => json!({"user": {}}),
        Err(error) => json!({"user": {}, "error": error}),
    }
}
