//! What a page shows, whatever its form.

use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::{
    place::{ConsolePlace, Form},
    query::Query,
    table::{Table, TableCell, Tone},
};
use crate::{report::parts, serve::error::ApiError};

/// A page.
#[derive(Debug)]
pub struct View {
    pub place: ConsolePlace,
    pub title: String,
    /// The sentence below the title.
    pub about: String,
    /// Pages that this one is part of: path and name.
    pub trail: Vec<(String, String)>,
    /// Pages beside this one: path, name, whether it is this one.
    pub tabs: Vec<(String, &'static str, bool)>,
    /// Forms of actions that the viewer may take: path and name.
    pub acts: Vec<(String, String)>,
    pub sections: Vec<Section>,
    /// Whether live sections are sent again when they change.
    pub is_live: bool,
    /// What is said aloud when it changes.
    pub said: Option<String>,
}

/// A part of a page.
#[derive(Debug)]
pub struct Section {
    /// Unique on the page.
    pub id: &'static str,
    pub title: Option<String>,
    pub content: Content,
}

#[derive(Debug)]
pub enum Content {
    Table(Table),
    Facts(Vec<(&'static str, TableCell)>),
    Cards(Vec<parts::Card>),
    Notices(Vec<(Tone, String)>),
    /// What has no other form than HTML.
    Drawn(Markup),
}

impl View {
    pub fn new(place: ConsolePlace, title: impl Into<String>, about: impl Into<String>) -> Self {
        Self {
            place,
            title: title.into(),
            about: about.into(),
            trail: Vec::new(),
            tabs: Vec::new(),
            acts: Vec::new(),
            sections: Vec::new(),
            is_live: false,
            said: None,
        }
    }

    /// Adds a part.
    pub fn add(&mut self, id: &'static str, title: Option<&str>, content: Content) {
        self.sections.push(Section {
            id,
            title: title.map(str::to_owned),
            content,
        });
    }

    /// Adds a table, whose caption is its title.
    pub fn table(&mut self, table: Table) {
        self.add(table.id, None, Content::Table(table));
    }

    /// Adds what needs attention. The place is there even for nothing: something may come.
    pub fn notices(&mut self, notices: Vec<(Tone, String)>) {
        self.add("notices", None, Content::Notices(notices));
    }

    /// Returns the page as JSON: facts and tables by their ids.
    pub fn json(&self, query: &Query) -> Value {
        let mut result = Map::new();
        for section in &self.sections {
            let value = match &section.content {
                Content::Table(table) => table.json(query),
                Content::Facts(facts) => facts
                    .iter()
                    .map(|(name, cell)| ((*name).to_owned(), json!(cell.plain())))
                    .collect::<Map<_, _>>()
                    .into(),
                Content::Notices(notices) => notices.iter().map(|(_, text)| text.clone()).collect(),
                Content::Cards(_) | Content::Drawn(_) => continue,
            };
            result.insert(section.id.to_owned(), value);
        }
        json!({
            "schema": "helenus/1",
            "page": self.place.path(),
            "title": self.title,
            "result": result,
        })
    }

    /// Returns a table as CSV: the one that `table` of the query names, or else the first.
    ///
    /// # Errors
    /// 404: the page has no such table.
    pub fn csv(&self, query: &Query) -> Result<String, ApiError> {
        let mut tables = self
            .sections
            .iter()
            .filter_map(|section| match &section.content {
                Content::Table(table) => Some(table),
                _ => None,
            });
        let found = match query.get("table") {
            Some(id) => tables.find(|table| table.id == id),
            None => tables.next(),
        };
        let found = found.ok_or_else(|| super::handle::not_found("the page has no such table"))?;
        Ok(found.csv(query))
    }

    /// Draws the parts: those that may change in a `section` of their own, which can be replaced.
    pub fn draw(&self, query: &Query) -> Markup {
        html! { @for section in &self.sections { (self.draw_section(section, query)) } }
    }

    /// Draws the links to forms, which may come and go, too.
    pub fn draw_acts(&self) -> Markup {
        html! {
            section id="live-acts" data-live[self.is_live] {
                @if !self.acts.is_empty() {
                    ul .acts aria-label="Actions" {
                        @for (path, name) in &self.acts { li { a .button href=(path) { (name) } } }
                    }
                }
            }
        }
    }

    fn draw_section(&self, section: &Section, query: &Query) -> Markup {
        let path = self.place.path();
        html! {
            @if let Some(title) = &section.title { h2 { (title) } }
            @if let Content::Table(table) = &section.content {
                (table.draw_tools(&path, &self.place.path_as(Form::Csv), query))
            }
            (self.draw_live(section, query))
        }
    }

    /// Draws the part of a section that may change.
    pub fn draw_live(&self, section: &Section, query: &Query) -> Markup {
        html! {
            section id={ "live-" (section.id) } data-live[self.is_live] {
                @match &section.content {
                    Content::Table(table) => (table.draw(&self.place.path(), query)),
                    Content::Facts(facts) => (facts_of(facts)),
                    Content::Cards(cards) => (cards_of(cards)),
                    Content::Notices(notices) => (notices_of(notices)),
                    Content::Drawn(drawn) => (drawn),
                }
            }
        }
    }
}

/// Draws names with their values.
pub fn facts_of(facts: &[(&'static str, TableCell)]) -> Markup {
    html! {
        dl .facts {
            @for (name, cell) in facts {
                div { dt { (name) } dd { (cell.draw()) } }
            }
        }
    }
}

/// Draws headline figures side by side. Their headings follow the page's own.
fn cards_of(cards: &[parts::Card]) -> Markup {
    html! {
        div .cards {
            @for card in cards {
                div .card {
                    h2 { bdi { (card.name) } }
                    p .value { bdi { (card.value) } }
                    @for note in &card.notes { p { bdi { (note) } } }
                }
            }
        }
    }
}

fn notices_of(notices: &[(Tone, String)]) -> Markup {
    html! {
        @if !notices.is_empty() {
            ul .notices {
                @for (tone, text) in notices {
                    li class=(tone.class()) { span .sign aria-hidden="true" { (tone.mark()) } bdi { (text) } }
                }
            }
        }
    }
}
