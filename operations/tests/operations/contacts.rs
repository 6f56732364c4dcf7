//! Contacts under a new key.

use operations::contacts::{self, ResealError, Resealing};
use schemas::UserId;
use sinks::sealing::{KeyRing, Sealed, Subject};
use sqlx::Row;
use uuid::Uuid;

use crate::world::{World, user};

fn ring(ids: &[u8]) -> KeyRing {
    let key = |id: &u8| format!("{id}:{}", hex::encode([*id; 32]));
    let keys: Vec<String> = ids.iter().map(key).collect();
    KeyRing::parse(&keys.join(",").into()).expect("keys")
}

fn sealed(ring: &KeyRing, subject: Subject, text: &str) -> Vec<u8> {
    ring.seal(subject, &text.into()).expect("sealed").to_bytes()
}

impl World {
    /// Shopper `number` with contacts under a ring's current key.
    async fn contacts(&self, ring: &KeyRing, number: u8) {
        let user = user(number);
        sqlx::query("UPDATE users SET phone_sealed = $2, email_sealed = $3 WHERE user_id = $1")
            .bind(user.uuid())
            .bind(sealed(ring, Subject::Phone(user), &format!("+91{number}")))
            .bind(sealed(
                ring,
                Subject::Email(user),
                &format!("{number}@example.in"),
            ))
            .execute(&self.superuser)
            .await
            .expect("saved");
    }

    /// Contacts as a ring opens them, by person.
    async fn opened(&self, ring: &KeyRing) -> Vec<(UserId, i32, String, String)> {
        use secrecy::ExposeSecret;

        let rows = sqlx::query(
            "SELECT user_id, phone_sealed, email_sealed FROM users
             WHERE phone_sealed IS NOT NULL AND octet_length(phone_sealed) > 20 ORDER BY 1",
        )
        .fetch_all(&self.superuser)
        .await
        .expect("users");
        let open = |user: UserId, column: &str, row: &sqlx::postgres::PgRow| {
            let subject = match column {
                "phone_sealed" => Subject::Phone(user),
                _ => Subject::Email(user),
            };
            let sealed = Sealed::from_bytes(&row.get::<Vec<u8>, _>(column)).expect("sealed");
            let text = ring.open(subject, &sealed).expect("opens");
            (sealed.key_id, text.expose_secret().to_owned())
        };
        rows.iter()
            .map(|row| {
                let user = UserId::new(row.get("user_id"));
                let (key, phone) = open(user, "phone_sealed", row);
                let (email_key, email) = open(user, "email_sealed", row);
                assert_eq!(key, email_key);
                (user, key, phone, email)
            })
            .collect()
    }

    async fn reseal(&self, ring: &KeyRing) -> Resealing {
        let run = contacts::reseal(&self.operator, ring, "a person", |_| {}).await;
        run.expect("a run")
    }
}

#[tokio::test]
async fn every_contact_is_sealed_with_the_new_key_and_opens_as_before() {
    let world = World::new().await;
    let (old, both) = (ring(&[1]), ring(&[1, 2]));
    for number in 11..=20 {
        world.contacts(&old, number).await;
    }
    // Where an earlier run had got to when it was interrupted.
    world.contacts(&both, 12).await;
    world
        .tamper(
            "UPDATE users SET phone_sealed = 'damaged', email_sealed = NULL
                 WHERE user_id::text LIKE '%21'",
        )
        .await;
    let before = world.opened(&both).await;
    let run = world.reseal(&both).await;
    let expected = Resealing {
        key_id: 2,
        found: 10,
        resealed: 9,
        changed_meanwhile: 0,
        unreadable: vec![user(21)],
    };
    assert_eq!(run, expected);
    // Without the old key, from now on.
    let after = world.opened(&ring(&[2])).await;
    assert_eq!(after.len(), 10);
    for ((user, _, phone, email), (same, key, phone_after, email_after)) in
        before.into_iter().zip(after)
    {
        assert_eq!(
            (user, 2, phone, email),
            (same, key, phone_after, email_after)
        );
    }

    let again = world.reseal(&both).await;
    assert_eq!((again.found, again.resealed), (1, 0), "the damaged one");
    let noted = "SELECT count(*) FROM audit_log
                 WHERE action = 'reseal_contacts' AND author = 'a person'";
    assert_eq!(
        world.number(noted).await,
        1,
        "a run that changed nothing is none"
    );
    let silent = contacts::reseal(&world.operator, &both, " ", |_| {}).await;
    assert!(matches!(silent, Err(ResealError::Author)));
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_left_as_it_is() {
    let world = World::new().await;
    let old = ring(&[1]);
    world.contacts(&old, 11).await;
    let stale = sealed(&old, Subject::Phone(user(11)), "another number");
    let written: i64 = sqlx::query_scalar(
        "SELECT reseal_contacts(ARRAY[$1], ARRAY[$2], ARRAY[email_sealed], ARRAY[$2], ARRAY[$2])
         FROM contacts_to_reseal(2, $3, 1)",
    )
    .bind(user(11).uuid())
    .bind(stale)
    .bind(Uuid::nil())
    .fetch_one(&world.operator)
    .await
    .expect("asked");
    assert_eq!(written, 0);
    assert_eq!(world.opened(&old).await[0].2, "+9111");
}
