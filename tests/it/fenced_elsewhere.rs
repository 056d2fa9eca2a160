//! Fencing numbers of locks that are taken over, or released by their token: here, in another
//! process, or through the lock service.

use redlock_quorum::{
    ErrorKind, LockParts, Redlock, Released,
    testing::{Cluster, Reply},
};

use crate::{
    fenced::{end, number},
    http_stand::{Answer, Served, send},
    support::{LIMIT, TTL, client, eventually, everywhere, run_on, set_up, start},
};

async fn parts(redlock: &Redlock, cluster: &Cluster) -> (LockParts, u64) {
    let guard = redlock.lock("job").fenced().wait(LIMIT).await.unwrap();
    everywhere(&guard, cluster).await;
    let parts = guard.into_parts();
    let number = parts.fencing_number.expect("it was asked for one");
    (parts, number)
}

/// The last node forgets the lock and its fence: whatever may still arrive there sets the key, if
/// it is not buried.
async fn forget(cluster: &Cluster) {
    set_up(&cluster.nodes()[2..], "DEL job job:fence").await;
}

/// Waits until all nodes have the number: a burial may come to a slow node after the release.
async fn all_have(cluster: &Cluster, number: u64) {
    let all = vec![Reply::Bulk(number.to_string().into_bytes()); 3];
    eventually("all nodes have the number", async || {
        let fences = run_on(cluster.nodes(), "GET job:fence").await;
        if fences == all { Ok(()) } else { Err(fences) }
    })
    .await;
}

#[tokio::test]
async fn an_adopted_lock_keeps_its_number_and_is_buried() {
    let cluster = start(3).await;
    let (one, other) = (client(&cluster), client(&cluster));
    let (parts, it) = parts(&one, &cluster).await;
    forget(&cluster).await;
    let guard = other.adopt(parts).unwrap();
    assert_eq!(number(&guard), it);
    guard.extend(TTL).await.unwrap();
    assert_eq!(number(&guard), it, "it stays");
    forget(&cluster).await;
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    all_have(&cluster, it).await;
    let next = one.lock("job").fenced().wait(LIMIT).await.unwrap();
    assert!(number(&next) > it);
    next.release().await.unwrap();
    end(&[&one, &other], &cluster).await;
}

#[tokio::test]
async fn who_releases_by_token_and_number_buries_what_may_come_late() {
    let cluster = start(3).await;
    let (one, other) = (client(&cluster), client(&cluster));
    let (parts, it) = parts(&one, &cluster).await;
    forget(&cluster).await;
    assert_eq!(other.release(parts.clone()).await.unwrap(), Released::Released);
    other.shutdown(LIMIT).await.unwrap();
    all_have(&cluster, it).await;
    end(&[&one], &cluster).await;
}

#[tokio::test]
async fn who_resumes_with_the_number_tells_it_to_nodes_that_forgot() {
    let cluster = start(3).await;
    let (one, other) = (client(&cluster), client(&cluster));
    let (parts, it) = parts(&one, &cluster).await;
    set_up(&cluster.nodes()[2..], "DEL job:fence").await;
    let guard = other.resume_fenced("job", parts.token, it, TTL).await.unwrap();
    everywhere(&guard, &cluster).await;
    assert_eq!(number(&guard), it);
    all_have(&cluster, it).await;
    guard.release().await.unwrap();
    end(&[&one, &other], &cluster).await;
}

#[tokio::test]
async fn what_is_no_number_is_refused_before_anything_is_asked() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let (parts, it) = parts(&redlock, &cluster).await;
    for wrong in [0, 7, 999_999_999_999_999, 1 << 53, u64::MAX] {
        let wrongly = LockParts { fencing_number: Some(wrong), ..parts.clone() };
        let errors = [
            redlock.adopt(wrongly.clone()).unwrap_err(),
            redlock.release(wrongly).await.unwrap_err(),
            redlock.resume_fenced("job", parts.token.clone(), wrong, TTL).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
            assert!(error.to_string().contains("16 digits"), "{error}");
        }
    }
    all_have(&cluster, it).await;
    redlock.release(parts).await.unwrap();
    end(&[&redlock], &cluster).await;
}

fn fence(answer: &Answer) -> u64 {
    answer.value()["fence"].as_u64().expect("a JSON number")
}

#[tokio::test]
async fn the_services_answers_have_the_number_that_was_asked_for() {
    let cluster = start(3).await;
    let (one, other) = (Served::new(&cluster).await, Served::new(&cluster).await);
    let plain = one.form("/lock", "key=job").await;
    assert_eq!(plain.value().get("fence"), None, "{}", plain.body);
    let token = plain.token();
    one.form("/unlock", format!("key=job&token={token}")).await;

    let locked = one.form("/lock", "key=job&fenced=true").await;
    let (token, first) = (locked.token(), fence(&locked));
    // Another instance knows of it only what the caller says.
    set_up(&cluster.nodes()[2..], "DEL job job:fence").await;
    let body = |fence: u64| format!("key=job&token={token}&fence={fence}");
    assert_eq!(one.form("/unlock", body(first + 1)).await.status, 400, "it knows better");
    let ahead = other.form("/unlock", body(first + 7_200_000_000)).await;
    assert_eq!(ahead.status, 422);
    assert!(ahead.body.contains("an hour ahead"), "{}", ahead.body);
    assert_eq!(other.form("/unlock", body(first)).await.status, 200);
    all_have(&cluster, first).await;

    let taken = one.json("POST", "/v1/locks/job", r#"{"fenced":true}"#).await;
    let (token, second) = (taken.token(), fence(&taken));
    assert!(second > first);
    assert_eq!(taken.header("lock-fence"), Some(&*second.to_string()));
    set_up(&cluster.nodes()[2..], "DEL job:fence").await;
    let say = |method, fence: u64| {
        let request = other.request(method, "/v1/locks/job").header("lock-token", &token);
        send(request.header("lock-fence", fence))
    };
    let extended = say("PUT", second).await;
    assert_eq!((extended.status, fence(&extended)), (200, second));
    all_have(&cluster, second).await;
    set_up(&cluster.nodes()[2..], "DEL job job:fence").await;
    assert_eq!(say("DELETE", 7).await.status, 422);
    assert_eq!(say("DELETE", second).await.status, 204);
    other.redlock.shutdown(LIMIT).await.unwrap();
    all_have(&cluster, second).await;
    let taken = one.form("/lock", "key=job").await;
    let body = format!("key=job&fence=&token={}", taken.token());
    assert_eq!(one.form("/unlock", body).await.status, 200, "an empty fence is none");
    for (body, words) in [("fenced=yes", "true or false"), ("fence=1", "unknown field")] {
        let refused = one.form("/lock", format!("key=job&{body}")).await;
        assert_eq!(refused.status, 422);
        assert!(refused.body.contains(words), "{}", refused.body);
    }
    end(&[&one.redlock], &cluster).await;
}

/// The instance that has handed it out knows the number.
#[tokio::test]
async fn an_instance_buries_what_it_has_handed_out() {
    let cluster = start(3).await;
    let it = Served::new(&cluster).await;
    let locked = it.json("POST", "/lock", r#"{"key":"job","fenced":true}"#).await;
    let token = locked.token();
    set_up(&cluster.nodes()[2..], "DEL job job:fence").await;
    assert_eq!(it.form("/unlock", format!("key=job&token={token}")).await.status, 200);
    it.redlock.shutdown(LIMIT).await.unwrap();
    all_have(&cluster, fence(&locked)).await;
    end(&[&it.redlock], &cluster).await;
}
