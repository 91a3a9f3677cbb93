//! A run that is killed leaves nothing half done, and the next one finishes it.

use std::process::{Command, ExitStatus, Stdio};

use crate::{
    proxy::Proxy,
    shop::{Shop, told},
    world::{executable, git, real_git, run},
};

/// Releases alpha into a registry path of this case's own, again and again from the same commit.
struct Case<'a> {
    shop: &'a Shop,
    begin: &'a str,
    /// Host and path.
    registry: String,
}

impl<'a> Case<'a> {
    fn new(shop: &'a Shop, begin: &'a str, host: &str, number: usize) -> Self {
        let registry = format!("{host}/case-{number}");
        Self {
            shop,
            begin,
            registry,
        }
    }

    fn command(&self) -> Command {
        let arguments = ["release", "--service", "alpha", "--json", "--registry"];
        let mut command = self.shop.command(&arguments);
        command.arg(&self.registry);
        command
    }

    fn start(&self, change: impl FnOnce(&mut Command)) -> std::process::Child {
        let mut command = self.command();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        change(&mut command);
        command.spawn().unwrap()
    }

    /// Runs it again, looks at what there is then, and takes it all back.
    fn finish(&self, cut_off: ExitStatus) {
        assert_eq!(cut_off.code(), None, "{}: not killed", self.registry);
        let ran = run(&mut self.command()).ok().json();
        // The record may have been there already.
        let action = told(&ran).remove(0);
        assert!(
            ["alpha released 0.1.0", "alpha unchanged 0.1.0"].contains(&&*action),
            "{}: {action}",
            self.registry
        );
        let again = run(&mut self.command()).ok().json();
        assert_eq!(told(&again), ["alpha unchanged 0.1.0"]);

        let path = self.registry.split_once('/').unwrap().1;
        let digest = self.shop.digest(&format!("{path}/alpha"), "0.1.0").unwrap();
        let recorded = self.shop.recorded("staging", "alpha");
        assert_eq!(recorded, format!("0.1.0 {digest}"), "{}", self.registry);
        assert_eq!(self.shop.tags(), ["alpha-v0.1.0"], "{}", self.registry);
        assert_eq!(self.shop.releases(), 1, "{}", self.registry);

        self.reset();
    }

    fn reset(&self) {
        let origin = self.shop.origin();
        git(&origin, &["update-ref", "refs/heads/main", self.begin]);
        git(&origin, &["update-ref", "-d", "refs/tags/alpha-v0.1.0"]);
    }
}

#[test]
fn killed_after_each_write_to_the_registry() {
    let shop = Shop::new();
    let begin = git(&shop.repo.root, &["rev-parse", "HEAD"]);
    let proxy = Proxy::start(&shop.registry.address);
    for number in 1.. {
        let case = Case::new(&shop, &begin, &proxy.address, number);
        let mut child = case.start(|_| ());
        proxy.kill_after(child.id(), number);
        let ended = child.wait().unwrap();
        proxy.kill_after(0, 0);
        if ended.success() {
            assert!(number > 5, "it ended before its write {number}");
            return;
        }
        case.finish(ended);
    }
}

#[test]
fn killed_before_and_after_each_push_of_git() {
    let shop = Shop::new();
    let begin = git(&shop.repo.root, &["rev-parse", "HEAD"]);
    let bin = shop.repo.around().join("bin");
    let count = shop.repo.around().join("count");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    for before in [true, false] {
        for number in 1.. {
            let _ = std::fs::remove_file(&count);
            let push = format!("\"{}\" \"$@\"", real_git());
            let kill = "kill -9 $PPID; exit 1";
            let (first, second) = if before {
                (kill, &*push)
            } else {
                (&*push, kill)
            };
            executable(
                &bin.join("git"),
                &format!(
                    "#!/bin/sh\ncase \" $* \" in *' push '*)\n  echo >>'{0}'\n  if [ $(wc -l <'{0}') = {number} ]; then {first}; {second}; fi;;\nesac\nexec {push}\n",
                    count.display()
                ),
            );
            let case = Case::new(
                &shop,
                &begin,
                &shop.registry.address,
                number + if before { 0 } else { 100 },
            );
            let mut child = case.start(|command| {
                command.env("PATH", &path);
            });
            let ended = child.wait().unwrap();
            if ended.success() {
                assert!(number > 2, "only {number} pushes");
                case.reset();
                break;
            }
            case.finish(ended);
        }
    }
}
