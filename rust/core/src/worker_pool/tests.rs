use super::*;
use std::sync::mpsc::channel;

#[test]
fn runs_jobs_side_by_side_and_no_more_than_allowed() {
    let pool = WorkerPool::new("test", 2, 10);
    let (started, starts) = channel();
    let (release, gate) = channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    for n in 0..3 {
        let (started, gate) = (started.clone(), gate.clone());
        let job = move || {
            started.send(n).unwrap();
            let _ = gate.lock().recv();
        };
        pool.submit(Priority::Background, Box::new(job)).unwrap();
    }
    let patience = Duration::from_secs(20);
    assert_eq!([starts.recv_timeout(patience), starts.recv_timeout(patience)].iter().flatten().count(), 2);
    assert!(starts.recv_timeout(Duration::from_millis(50)).is_err(), "a third ran beside two");
    release.send(()).unwrap();
    assert!(starts.recv_timeout(patience).is_ok());
    drop(release);
}

#[test]
fn a_full_queue_rejects_at_once_and_a_closed_pool_drops() {
    let pool = WorkerPool::new("test", 1, 1);
    let (release, gate) = channel::<()>();
    let (started, starts) = channel();
    let busy = move || {
        started.send(()).unwrap();
        let _ = gate.recv();
    };
    pool.submit(Priority::Foreground, Box::new(busy)).unwrap();
    starts.recv().unwrap();
    let (never_run, dropped) = channel::<()>();
    pool.submit(Priority::Foreground, Box::new(move || never_run.send(()).unwrap())).unwrap();
    assert_eq!(pool.submit(Priority::Foreground, Box::new(|| ())), Err(SubmitError::Full));
    pool.close();
    assert!(dropped.recv().is_err(), "the waiting job is dropped, not run");
    assert_eq!(pool.submit(Priority::Foreground, Box::new(|| ())), Err(SubmitError::Closed));
    drop(release);
}

#[test]
fn a_panicking_job_leaves_the_pool_working() {
    let pool = WorkerPool::new("test", 1, 10);
    pool.submit(Priority::Foreground, Box::new(|| panic!("planted"))).unwrap();
    let (done, finished) = channel();
    pool.submit(Priority::Foreground, Box::new(move || done.send(()).unwrap())).unwrap();
    assert!(finished.recv_timeout(Duration::from_secs(20)).is_ok());
}

#[test]
fn the_worker_that_went_idle_last_is_woken_first() {
    let pool = WorkerPool::new("test", 2, 10);
    let (ran, runs) = channel();
    let patience = Duration::from_secs(20);
    let idle = |count| {
        let until = Instant::now() + patience;
        while pool.shared.state.lock().idle.len() != count {
            assert!(Instant::now() < until, "{count} workers never went idle");
            thread::yield_now();
        }
    };
    let (release, gate) = channel::<()>();
    pool.submit(Priority::Background, Box::new(move || _ = gate.recv())).unwrap();
    pool.submit(Priority::Background, Box::new(|| ())).unwrap();
    idle(1);
    release.send(()).unwrap();
    idle(2);
    let last = pool.shared.state.lock().idle[1].id();
    for _ in 0..5 {
        let ran = ran.clone();
        let job = move || ran.send(thread::current().id()).unwrap();
        pool.submit(Priority::Background, Box::new(job)).unwrap();
        assert_eq!(runs.recv_timeout(patience).unwrap(), last);
        idle(2);
    }
}

#[test]
fn a_storm_of_foreground_jobs_leaves_the_reserve_alone() {
    let pool = WorkerPool::new("test", 8, 100);
    let (release, gate) = channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let (started, starts) = channel();
    for _ in 0..50 {
        let (started, gate) = (started.clone(), gate.clone());
        let job = move || {
            started.send(()).unwrap();
            let _ = gate.lock().recv();
        };
        pool.submit(Priority::Foreground, Box::new(job)).unwrap();
    }
    let patience = Duration::from_secs(20);
    for _ in 0..7 {
        starts.recv_timeout(patience).unwrap();
    }
    let (done, refreshed) = channel();
    pool.submit(Priority::Background, Box::new(move || done.send(()).unwrap())).unwrap();
    assert!(refreshed.recv_timeout(patience).is_ok(), "the reserve was taken");
    assert!(starts.recv_timeout(Duration::from_millis(50)).is_err(), "an eighth job ran beside seven");
    drop(release);
    for _ in 0..43 {
        starts.recv_timeout(patience).unwrap();
    }
}
