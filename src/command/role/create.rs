//! `helenus role create`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Context, KindArg, ReachArgs};
use crate::{
    domain::{
        access::{Grant, Kind},
        problem::Problem,
    },
    failure::Failure,
    output::Answer,
    store::{
        Store,
        admin::roles,
        driver::error::{StoreError, StoreErrorKind},
    },
};

/// Create a Cassandra role for one kind of work
///
/// A new role gets the permissions of its kind and no others (`helenus role show KIND`). It has no
/// login, so grant it to logins (GRANT role TO login), or make it a login with --role-password-file.
/// An existing role keeps its permissions, too. Your login needs permission to create roles and to grant
/// these permissions. --print only prints the statements and does not connect to Cassandra.
///
/// Examples:
///
///     helenus role create tumour_readers --kind analyst --data-keyspace clinic
///     helenus role create helenus_worker --kind worker --data-keyspace clinic --ddl --role-password-file worker.secret
///     helenus role create ops --kind promoter --print
///
/// JSON result: {"role", "kind", "applied": bool, "login": bool, "statements": [CQL …],
///   "beyond": [other permissions of the role …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The role's name
    role: String,
    /// Kind of work
    #[arg(long, value_enum)]
    kind: KindArg,
    #[command(flatten)]
    reach: ReachArgs,
    /// Permit the role to log in, with the first line of this file as its password
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    role_password_file: Option<PathBuf>,
    /// Print the statements for an administrator instead of running them
    #[arg(long)]
    print: bool,
}

/// Creates the role or prints the statements.
///
/// # Errors
/// Exit 2: an option that this kind does not have, or no password; exit 3: no permission, or
/// Cassandra has no authorizer.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let kind = Kind::from(args.kind);
    let grants = super::grants(kind, &args.reach, context)?;
    let password = args.role_password_file.as_deref().map(read).transpose()?;
    let statements: Vec<String> = std::iter::once(roles::create_statement(&args.role))
        .chain(
            grants
                .iter()
                .map(|grant| roles::grant_statement(grant, &args.role)),
        )
        .collect();
    let mut beyond = Vec::new();
    if !args.print {
        let store = context.store().await?;
        beyond = create(&store, &args.role, password.as_deref(), &grants)
            .await
            .map_err(create_failure)?;
    }
    let text = match args.print {
        true => format!("{};", statements.join(";\n")),
        false => format!(
            "role `{}` is a{} {}: {} grants",
            args.role,
            if kind.as_str().starts_with('a') {
                "n"
            } else {
                ""
            },
            kind.as_str(),
            grants.len()
        ),
    };
    let mut answer = Answer::new(
        json!({
            "role": args.role,
            "kind": kind.as_str(),
            "applied": !args.print,
            "login": password.is_some(),
            "statements": statements,
            "beyond": beyond,
        }),
        text,
    );
    if !beyond.is_empty() {
        answer = answer.warn(format!(
            "role.beyond: `{}` has more permissions than a {} needs: {}",
            args.role,
            kind.as_str(),
            beyond.join(", ")
        ));
    }
    Ok(answer)
}

/// Creates the role and returns its permissions beyond `grants`.
///
/// # Errors
/// Errors of Cassandra.
pub async fn create(
    store: &Store,
    role: &str,
    password: Option<&str>,
    grants: &[Grant],
) -> Result<Vec<String>, StoreError> {
    store.create_role(role, password).await?;
    for grant in grants {
        store.grant(grant, role).await?;
    }
    let wanted: Vec<String> = grants.iter().map(roles::listed).collect();
    let mut granted = store.granted(role).await?;
    granted.retain(|one| !wanted.contains(one));
    Ok(granted)
}

/// Explains why a role could not be created.
pub fn create_failure(error: StoreError) -> Failure {
    let off = ["not anonymous", "AllowAllAuthorizer"]
        .iter()
        .any(|text| error.detail.contains(text));
    if off {
        return Failure::system(
            Problem::new("role.no_authorizer", error.detail).help(
                "set authenticator to PasswordAuthenticator and authorizer to CassandraAuthorizer in cassandra.yaml",
            ),
        );
    }
    let denied = error.kind == StoreErrorKind::Denied;
    let mut failure = Failure::from(error);
    if denied && let Some(problem) = failure.problems.first_mut() {
        problem.help = Some(
            "print the statements for an administrator with `helenus role create … --print`"
                .to_owned(),
        );
    }
    failure
}

fn read(path: &Path) -> Result<String, Failure> {
    let unusable = |message: String| {
        Failure::input(Problem::new("file.unusable", message).at(path.display().to_string()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    match text.lines().next() {
        None | Some("") => Err(unusable(
            "the first line is empty; it must be the password".to_owned(),
        )),
        Some(password) => Ok(password.to_owned()),
    }
}
