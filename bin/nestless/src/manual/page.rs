//! The text of one page.

use super::words::{self, Words};
use anyhow::Context as _;
use clap_mangen::{
    Man,
    roff::{Inline, Roff, bold, italic, roman},
};

/// The pages of a command and of all below it, the command's first.
pub(super) fn all(nestless: clap::Command) -> anyhow::Result<Vec<(String, String)>> {
    let mut nestless = nestless.disable_help_subcommand(true);
    nestless.build();
    let mut pages = Vec::new();
    collect(&nestless, &mut pages)?;
    Ok(pages)
}

fn collect(command: &clap::Command, pages: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let text = page(command, &name).with_context(|| format!("make the page of {name}"))?;
    pages.push((name, text));
    for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
        collect(child, pages)?;
    }
    Ok(())
}

fn page(command: &clap::Command, name: &str) -> anyhow::Result<String> {
    // What `--help` says last stands in sections of its own here.
    let plain = command.clone().after_help(None::<&str>).after_long_help(None::<&str>);
    let man = Man::new(plain).manual("Nestless").source(format!("Nestless {}", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render(&mut text)?;
    let words = words::of(&name.replace('-', " "));
    sections(words, name).to_writer(&mut text)?;
    String::from_utf8(text).context("a manual page is text")
}

fn sections(words: Option<&Words>, name: &str) -> Roff {
    let mut roff = Roff::new();
    if let Some(examples) = words.map(|words| words.examples).filter(|examples| !examples.is_empty()) {
        roff.control("SH", ["EXAMPLES"]);
        for (line, meaning) in examples {
            roff.control("TP", []);
            roff.text([bold(*line)]);
            roff.text([roman(*meaning)]);
        }
    }
    roff.control("SH", ["EXIT STATUS"]);
    let own = words.map(|words| words.exit).unwrap_or_default();
    for (code, meaning) in
        own.iter().chain(words::EXIT.iter().filter(|(code, _)| !own.iter().any(|o| o.0 == *code)))
    {
        roff.control("TP", []);
        roff.text([bold(*code)]);
        roff.text([roman(*meaning)]);
    }
    roff.control("SH", ["SEE ALSO"]);
    let others = words::SEE_ALSO.iter().filter(|(other, _)| *other != name);
    let mut line: Vec<Inline> = Vec::new();
    for (other, section) in others {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([italic(*other), roman(format!("({section})"))]);
    }
    roff.text(line);
    roff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn every_command_has_a_page_with_examples_and_exit_codes() {
        let pages = all(Cli::command()).unwrap();
        assert_eq!(pages[0].0, "nestless");
        for (name, text) in &pages {
            for section in
                [".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", ".SH \"EXIT STATUS\"", ".SH \"SEE ALSO\""]
            {
                assert!(text.contains(section), "{name} has no {section}");
            }
        }
        let (_, exec) = pages.iter().find(|(name, _)| name == "nestless-lab-exec").unwrap();
        assert!(exec.contains(".SH EXAMPLES") && exec.contains("as a shell reports it"), "{exec}");
    }
}
