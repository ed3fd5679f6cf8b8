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
        error::{StoreError, StoreErrorKind},
        roles,
    },
};

/// Make a role that may do one kind of work, and nothing else
///
/// Grants follow from who writes which table (`helenus role show KIND`). The role is made without
/// a login, to be granted to logins (GRANT role TO login), or as one with --role-password-file. A role
/// that exists keeps what it has. Needs a login that may create roles and grant what it grants;
/// with --print nothing is run and no Cassandra asked.
///
/// Examples:
///
///     helenus role create tumour_readers --kind analyst --data-keyspace clinic
///     helenus role create helenus_worker --kind worker --data-keyspace clinic --ddl --role-password-file worker.secret
///     helenus role create ops --kind promoter --print
///
/// JSON result: {"role", "kind", "applied": bool, "login": bool, "statements": [CQL …],
///   "beyond": [what it was granted besides …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The role's name
    role: String,
    /// What it is for
    #[arg(long, value_enum)]
    kind: KindArg,
    #[command(flatten)]
    reach: ReachArgs,
    /// Let the role log in, with the first line of this file as its password
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    role_password_file: Option<PathBuf>,
    /// Print the statements for an administrator, and run nothing
    #[arg(long)]
    print: bool,
}

/// Makes the role, or prints how.
///
/// # Errors
/// Exit 2: a reach that this kind does not have, no password; exit 3: this login may not, or
/// Cassandra knows no roles.
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
        beyond = make(&store, &args.role, password.as_deref(), &grants)
            .await
            .map_err(told)?;
    }
    let said = match args.print {
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
        said,
    );
    if !beyond.is_empty() {
        answer = answer.warn(format!(
            "role.beyond: `{}` was granted more than a {} needs: {}",
            args.role,
            kind.as_str(),
            beyond.join(", ")
        ));
    }
    Ok(answer)
}

/// Gives what the role may do beyond `grants`.
async fn make(
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

fn told(error: StoreError) -> Failure {
    let off = ["not anonymous", "AllowAllAuthorizer"]
        .iter()
        .any(|words| error.detail.contains(words));
    if off {
        return Failure::system(
            Problem::new("role.no_authorizer", error.detail).help(
                "Cassandra asks nobody who he is: set authenticator and authorizer (PasswordAuthenticator, CassandraAuthorizer)",
            ),
        );
    }
    let denied = error.kind == StoreErrorKind::Denied;
    let mut failure = Failure::from(error);
    if denied && let Some(problem) = failure.problems.first_mut() {
        problem.help = Some(
            "an administrator may: `helenus role create … --print` prints the statements"
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
        None | Some("") => Err(unusable("its first line is empty".to_owned())),
        Some(password) => Ok(password.to_owned()),
    }
}
