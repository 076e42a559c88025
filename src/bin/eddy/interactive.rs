//! The prompt: greets, reads, runs, until Ctrl-D.

use eddydb::Error;

use crate::catalog;
use crate::editor::{LineEditor, Typed, bare_command};

use crate::shell::{Flow, Shell, Stop};

const EXAMPLE: &str = "\
CREATE TABLE payments (card TEXT, amount DECIMAL(12,2));
CREATE MATERIALIZED VIEW spend AS SELECT card, count(*) AS n, sum(amount) AS total FROM payments GROUP BY card;
.watch spend
INSERT INTO payments VALUES ('ann', 9.99), ('bob', 5), ('ann', 20);
DELETE FROM payments WHERE card = 'bob';
";

/// What somebody sees who starts the shell alone.
pub fn greet(in_memory: bool) {
    println!("eddy {}", env!("CARGO_PKG_VERSION"));
    if in_memory {
        println!("In memory: nothing is kept. `.help` lists commands, Ctrl-D leaves. Something to paste:\n\n{EXAMPLE}");
    } else {
        println!("`.help` lists commands, Ctrl-D leaves.");
    }
}

/// Reads and runs until somebody leaves. Failed statements do not end it.
pub fn run(shell: &mut Shell) -> Flow {
    let mut editor = match LineEditor::open(shell.style.colour) {
        Ok(editor) => editor,
        Err(error) => return shell.fail(&format!("the terminal cannot be used: {error}")),
    };
    shell.set_interactive();
    loop {
        // Tab asks on a connection of its own, so that nothing it does can touch an open transaction.
        let side = shell.connection().database().connect().ok();
        editor.set_names(side.as_ref().map(catalog::names).unwrap_or_default());
        drop(side);
        let text = match editor.read() {
            Ok(Typed::Text(text)) => text,
            Ok(Typed::Cleared) => continue,
            Ok(Typed::End) => return Ok(()),
            Err(error) => return shell.fail(&Error::from(std::io::Error::other(error)).to_string()),
        };
        shell.style.width = editor.width();
        match shell.run_text(bare_command(&text).unwrap_or(&text)) {
            Ok(()) | Err(Stop::Failed) => {}
            Err(Stop::Interrupted) => eprintln!("interrupted"),
            Err(Stop::Quit) => return Ok(()),
            Err(stop) => return Err(stop),
        }
    }
}
