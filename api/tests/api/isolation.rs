//! Every endpoint, as every role and as another tenant. The endpoints come from the description,
//! which is made of the same list as the router: a new one is tried without being named here.

use std::collections::BTreeMap;

use api::auth::Scope;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{CRON, OPERATOR, World, campaign, phone, tenant};

/// Answered by ingest, whose router isn't here.
const OF_INGEST: [&str; 5] = [
    "/v1/events/click",
    "/v1/events/conversion",
    "/v1/edge/clicks",
    "/v1/edge/links",
    "/r/{slug}",
];

struct Endpoint {
    method: Method,
    /// With its parameters.
    path: String,
    /// Which scopes it is for; nobody needs one where there is none.
    scopes: Vec<String>,
    /// A body of the form that it takes.
    body: String,
}

fn endpoints() -> Vec<Endpoint> {
    let described = serde_json::to_value(api::description()).expect("JSON");
    assert!(
        described["openapi"]
            .as_str()
            .expect("a version")
            .starts_with("3.1")
    );
    let mut endpoints = Vec::new();
    for (path, methods) in described["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            if OF_INGEST.contains(&path.as_str()) {
                continue;
            }
            let required = operation["security"].as_array();
            let required = required.unwrap_or_else(|| panic!("{method} {path} says not who may"));
            let scopes = required.iter().filter_map(|one| one["bearer"].as_array());
            let scopes = scopes
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned);
            endpoints.push(Endpoint {
                method: method.to_uppercase().parse().expect("a method"),
                path: with_parameters(path, operation),
                scopes: scopes.collect(),
                body: example(&described, operation).unwrap_or_default(),
            });
        }
    }
    assert!(endpoints.len() >= 35, "{}", endpoints.len());
    endpoints
}

fn example(described: &Value, operation: &Value) -> Option<String> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let reference = schema["$ref"].as_str().or_else(|| {
        schema["oneOf"]
            .as_array()?
            .iter()
            .find_map(|one| one["$ref"].as_str())
    })?;
    let found = described.pointer(reference.trim_start_matches('#'))?;
    Some(found.get("example")?.to_string())
}

#[tokio::test]
async fn every_endpoint_lets_in_whom_it_is_for_and_nobody_else() {
    let world = World::new().await;
    let person = world.sign_in("+14155550100").await.jwt();
    let creator = world.sign_in(&phone(1)).await.jwt();
    let bearers: BTreeMap<&str, Vec<String>> = [
        ("person", vec![person]),
        ("creator", vec![creator]),
        (
            "operator",
            vec![OPERATOR.to_owned(), world.service(Scope::Operator)],
        ),
        ("analyst", vec![world.service(Scope::Analyst)]),
        ("cron", vec![CRON.to_owned(), world.service(Scope::Cron)]),
    ]
    .into();
    for endpoint in endpoints() {
        let Endpoint {
            method,
            path,
            scopes,
            body,
        } = &endpoint;
        let named = format!("{method} {path}");
        let without = world.ask(method.clone(), path, &[], body).await;
        if scopes.is_empty() {
            assert_ne!(without.status, StatusCode::FORBIDDEN, "{named}");
            assert_ne!(without.code(), "unauthorised", "{named}");
            continue;
        }
        assert_eq!(without.code(), "unauthorised", "{named} without a token");
        assert_eq!(without.status, StatusCode::UNAUTHORIZED, "{named}");
        for (role, tokens) in &bearers {
            // A creator is a person too.
            let meant = scopes
                .iter()
                .any(|scope| scope == role || (scope == "person" && *role == "creator"));
            for token in tokens {
                let bearer = format!("Bearer {token}");
                let answer = world
                    .ask(method.clone(), path, &[("authorization", &bearer)], body)
                    .await;
                let forbidden = answer.status == StatusCode::FORBIDDEN;
                assert_eq!(
                    forbidden, !meant,
                    "{named} as {role}: {} {}",
                    answer.status, answer.body
                );
                assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{named} as {role}");
                assert_ne!(
                    answer.status,
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "{named} as {role}"
                );
            }
        }
    }
}

/// The path of a thing that could be there, with the parameters that it needs.
fn with_parameters(path: &str, operation: &Value) -> String {
    let path = path
        .replace("{tenant_id}", &tenant(1).to_string())
        .replace("{campaign_id}", &campaign(1).to_string())
        .replace("{subject}", "conversion")
        .replace("{conv_id}", "101")
        .replace("{id}", "101")
        .replace("{partition}", "0")
        .replace("{offset}", "0");
    let parameters = operation["parameters"].as_array();
    let needed = parameters.into_iter().flatten().any(|parameter| {
        parameter["in"] == "query"
            && parameter["name"] == "tenant_id"
            && parameter["required"] == true
    });
    if needed {
        format!("{path}?tenant_id={}", tenant(1))
    } else {
        path
    }
}

#[tokio::test]
async fn another_tenants_things_are_not_there() {
    let world = World::new().await;
    let mine = world.sign_in(&phone(1)).await.jwt();
    let offers = |number| format!("/v1/offers?tenant_id={}", tenant(number));
    assert_eq!(world.get_as(&mine, &offers(1)).await.status, StatusCode::OK);
    let made = |number| json!({"tenant_id": tenant(number), "name": "Diwali"}).to_string();
    let linked = |number| json!({"campaign_id": campaign(number), "offer_id": 5509}).to_string();
    assert_eq!(
        world.post_as(&mine, "/v1/campaigns", &made(1)).await.status,
        StatusCode::OK
    );
    assert_eq!(
        world.post_as(&mine, "/v1/links", &linked(1)).await.status,
        StatusCode::OK
    );

    // Another's, and one that isn't there, are told alike.
    for (other, absent) in [
        (
            world.get_as(&mine, &offers(2)).await,
            world.get_as(&mine, &offers(9)).await,
        ),
        (
            world.post_as(&mine, "/v1/campaigns", &made(2)).await,
            world.post_as(&mine, "/v1/campaigns", &made(9)).await,
        ),
        (
            world.post_as(&mine, "/v1/links", &linked(2)).await,
            world.post_as(&mine, "/v1/links", &linked(9)).await,
        ),
    ] {
        assert!([StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&other.status));
        assert_eq!((other.status, &other.body), (absent.status, &absent.body));
    }
    assert_eq!(world.count("SELECT count(*) FROM campaigns").await, 3);
    assert_eq!(world.count("SELECT count(*) FROM links").await, 1);
}

#[tokio::test]
async fn a_shopper_sees_their_own_rewards_and_no_tenants() {
    let world = World::new().await;
    for number in [1_u8, 2] {
        let signed_in = world.sign_in(&phone(number)).await;
        let rewards = world.get_as(&signed_in.jwt(), "/v1/rewards/user").await;
        assert_eq!(rewards.status, StatusCode::OK, "{}", rewards.body);
        // Their own three, and not the three of their tenant.
        assert_eq!(rewards.body.as_array().expect("a list").len(), 3);
        let own = signed_in.body["user_id"].as_str().expect("an id");
        let named = world
            .get_as(&signed_in.jwt(), &format!("/v1/rewards/user?user_id={own}"))
            .await;
        assert_eq!(named.body, rewards.body);
    }
    let mine = world.sign_in(&phone(1)).await;
    let others = world.sign_in(&phone(2)).await;
    let others = others.body["user_id"].as_str().expect("an id");
    let answer = world
        .get_as(&mine.jwt(), &format!("/v1/rewards/user?user_id={others}"))
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_membership_that_is_withdrawn_counts_no_more_whatever_the_token_says() {
    let world = World::new().await;
    let mine = world.sign_in(&phone(1)).await.jwt();
    let path = format!("/v1/offers?tenant_id={}", tenant(1));
    assert_eq!(world.get_as(&mine, &path).await.status, StatusCode::OK);
    world
        .run(&format!(
            "DELETE FROM tenant_members WHERE tenant_id = '{}'",
            tenant(1)
        ))
        .await;
    assert_eq!(
        world.get_as(&mine, &path).await.status,
        StatusCode::UNAUTHORIZED
    );
}
