//! The controller of a `[[turbine]]`: a built-in one, or one that is worked out from the turbine's own data.

use control_loops_controllers::turbine::TurbineParameters;
use control_loops_rotor::RotorTable;
use control_loops_tuning::{NREL_5MW, NREL_5MW_ROTOR, TurbineDescription, tune};
use hal_diagnostics::{Diagnostic, Document, Spanned};

use super::check::Checker;
use super::text::{LawText, ModelText, TurbineText};

impl Checker<'_> {
    /// The parameters of a turbine's controller. Files are read and worked out here, before anything starts.
    pub(super) fn controller(&self, text: &TurbineText) -> Result<TurbineParameters, Diagnostic> {
        let law = text.law.as_ref().map(|law| *law.get_ref());
        match (&text.model, &text.description, &text.rotor_table) {
            (Some(model), None, None) => match (model.get_ref(), law.unwrap_or(LawText::Baseline)) {
                (ModelText::Nrel5Mw, LawText::Baseline) => Ok(TurbineParameters::NREL_5MW),
                (ModelText::Nrel5Mw, LawText::Takt) => worked_out(
                    &Document::new("the built-in nrel-5mw.toml", NREL_5MW),
                    &Document::new("the built-in nrel-5mw.rotor.txt", NREL_5MW_ROTOR),
                ),
            },
            (None, Some(description), Some(rotor_table)) => {
                let read = |file: &Spanned<String>| (self.read)(&self.folder.join(file.get_ref()));
                let parameters = worked_out(&read(description)?, &read(rotor_table)?)?;
                Ok(match law.unwrap_or(LawText::Takt) {
                    LawText::Takt => parameters,
                    LawText::Baseline => TurbineParameters { takt: None, ..parameters },
                })
            }
            (None, Some(lone), None) | (None, None, Some(lone)) => Err(self.document.at(
                lone.span(),
                format!("the turbine `{}` has only one of description and rotor_table", text.name.get_ref()),
                "give both: the controller follows from them (`takt turbine tune` shows it)",
            )),
            (Some(model), _, _) => Err(self.document.at(
                model.span(),
                format!("the turbine `{}` has a model and a description", text.name.get_ref()),
                "give either model, or description and rotor_table",
            )),
            (None, None, None) => Err(self.document.at(
                text.name.span(),
                format!("nothing says what the turbine `{}` is", text.name.get_ref()),
                "give model = \"nrel-5mw\", or description and rotor_table",
            )),
        }
    }
}

fn worked_out(description: &Document, rotor_table: &Document) -> Result<TurbineParameters, Diagnostic> {
    let turbine = TurbineDescription::parse(description)?;
    let rotor = RotorTable::from_rosco(rotor_table.file(), rotor_table.text())?;
    Ok(tune(description.file(), &turbine, &rotor)?.parameters)
}
