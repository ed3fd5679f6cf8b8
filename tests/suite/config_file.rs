//! `./helenus.toml`: what somebody else may have put into the working directory.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::PathBuf,
    process::Command,
};

use serde_json::Value;

use tempfile::TempDir;

use crate::support::cli::{self, Output};

/// `helenus config` in the directory, with nothing but these variables.
fn config(directory: &TempDir, options: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command: Command = cli::helenus(directory.path(), &[]);
    command.args(["config", "--output", "json"]).args(options);
    command.envs(environment.iter().copied());
    cli::run(command)
}

fn write(directory: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn refused(output: Output) -> Value {
    let error = output.code(2).error();
    assert_eq!(error["code"], "config.untrusted", "{error}");
    assert!(
        error["help"].as_str().unwrap().contains("--config"),
        "{error}"
    );
    error
}

#[test]
fn a_file_of_the_working_directory_is_named_once_and_taken_only_from_its_user() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(&directory, "helenus.toml", "readers = 3\n");
    let taken = config(&directory, &[], &[]).ok();
    assert_eq!(taken.result()["settings"]["readers"]["value"], "3");
    assert_eq!(taken.result()["file_from_working_directory"], true);
    assert_eq!(
        taken.stderr.matches("./helenus.toml").count(),
        1,
        "{taken:?}"
    );
    // Named, it is as any other.
    let named = config(&directory, &["--config", "./helenus.toml"], &[]).ok();
    assert_eq!(named.result()["file_from_working_directory"], false);
    assert_eq!(named.stderr, "");

    for mode in [0o664, 0o646] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let error = refused(config(&directory, &[], &[]));
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("permission to write")
        );
        config(&directory, &["--config", "helenus.toml"], &[]).ok();
        config(&directory, &[], &[("HELENUS_CONFIG", "helenus.toml")]).ok();
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    config(&directory, &[], &[]).ok();

    // Only root can give a file away, and root is whom it must not convince.
    if fs::metadata(&file).unwrap().uid() == 0 {
        chown(&file, Some(4242), None).unwrap();
        let error = refused(config(&directory, &[], &[]));
        assert!(
            error["message"].as_str().unwrap().contains("user 4242"),
            "{error}"
        );
        config(&directory, &["--config", "helenus.toml"], &[]).ok();
        chown(&file, Some(0), None).unwrap();
        // Somebody else's link to a file of one's own.
        fs::rename(&file, directory.path().join("mine.toml")).unwrap();
        symlink("mine.toml", &file).unwrap();
        config(&directory, &[], &[]).ok();
        std::os::unix::fs::lchown(&file, Some(4242), None).unwrap();
        refused(config(&directory, &[], &[]));
    }
}

#[test]
fn a_file_of_the_working_directory_chooses_no_library_and_nobody_who_is_sent_a_password() {
    let directory = tempfile::tempdir().unwrap();
    let secret = tempfile::NamedTempFile::new().unwrap();
    let secret = secret.path().to_str().unwrap();
    write(&directory, "secret", "s");
    let password = ("HELENUS_PASSWORD", "hunter2");
    let outside =
        format!("contact_points = ['evil']\nusername = 'u'\npassword_file = '{secret}'\n");
    let taken: &[(&str, &[(&str, &str)])] = &[
        ("username = 'u'\n", &[password]),
        ("contact_points = ['a']\n", &[]),
        (
            "contact_points = ['a']\nusername = 'u'\npassword = 'p'\n",
            &[],
        ),
        (
            "contact_points = ['a']\nusername = 'u'\npassword_file = 'secret'\n",
            &[],
        ),
        // The hosts come from where the password comes from.
        (
            "contact_points = ['evil']\nusername = 'u'\n",
            &[password, ("HELENUS_CONTACT_POINTS", "good")],
        ),
    ];
    for (file, environment) in taken {
        write(&directory, "helenus.toml", file);
        config(&directory, &[], environment).ok();
    }
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let overreaching: &[Case] = &[
        ("onnxruntime = './x.so'\n", &[], "onnxruntime"),
        (
            "contact_points = ['evil']\nusername = 'u'\n",
            &[password],
            "HELENUS_PASSWORD",
        ),
        (
            "contact_points = ['evil']\nusername = 'u'\n",
            &[("HELENUS_PASSWORD_FILE", secret)],
            "HELENUS_PASSWORD_FILE",
        ),
        (
            "contact_points = ['evil']\nusername = 'u'\npassword_file = '/dev/null'\n",
            &[password],
            "HELENUS_PASSWORD",
        ),
        (&outside, &[], secret),
    ];
    for (file, environment, said) in overreaching {
        write(&directory, "helenus.toml", file);
        let error = refused(config(&directory, &[], environment));
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
        config(&directory, &["--config", "helenus.toml"], environment).ok();
    }
}
