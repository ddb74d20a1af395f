//! The labels of a CSV file, from texts to classes.

use std::collections::HashMap;

use super::super::Form;

/// Labels, number of classes, and the classes' names unless the labels were usable numbers.
type Classes = (Vec<u16>, u16, Option<Vec<String>>);

/// The labels read so far.
pub(super) struct Labels<'f> {
    /// Whose classes they are; their own without it.
    form: Option<&'f Form>,
    /// Each distinct text, in order of first appearance.
    texts: Vec<String>,
    numbers: HashMap<String, u16>,
    /// The class of each text, with a form.
    given: Vec<u16>,
    /// A record each: index into `texts`.
    records: Vec<u16>,
}

impl<'f> Labels<'f> {
    pub(super) fn new(form: Option<&'f Form>) -> Self {
        Labels {
            form,
            texts: Vec::new(),
            numbers: HashMap::new(),
            given: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Takes the next record's label.
    pub(super) fn push(&mut self, text: &str) -> Result<(), String> {
        let number = match self.numbers.get(text) {
            Some(&number) => number,
            None => {
                if self.texts.len() == MAX_CLASSES {
                    return Err(format!(
                        "more than {MAX_CLASSES} classes: the label's column may be another one"
                    ));
                }
                if let Some(form) = self.form {
                    self.given.push(form.class(text)?);
                }
                let number = self.texts.len() as u16;
                self.texts.push(text.to_owned());
                self.numbers.insert(text.to_owned(), number);
                number
            }
        };
        self.records.push(number);
        Ok(())
    }

    pub(super) fn count(&self) -> usize {
        self.records.len()
    }

    /// What the labels are, unless they are too many different ones to be labels.
    pub(super) fn finish(self) -> Result<Classes, String> {
        let (classes, records) = (self.texts.len(), self.records.len());
        // Classes that were given have proved what they are.
        if self.form.is_none() && classes > MANY_CLASSES && classes > records / 2 {
            return Err(format!(
                "{classes} classes in {records} records: the label's column may be another one"
            ));
        }
        Ok(self.classify())
    }

    fn classify(self) -> Classes {
        if let Some(form) = self.form {
            let labels = self.classes(&self.given);
            return (labels, form.classes, form.class_names.clone());
        }
        let whole: Option<Vec<u16>> = self
            .texts
            .iter()
            .map(|text| text.parse().ok().filter(|&n| usize::from(n) < MANY_CLASSES))
            .collect();
        if let Some(classes) = whole {
            let labels = self.classes(&classes);
            let count = classes.iter().max().map_or(0, |max| max + 1);
            return (labels, count, None);
        }
        let reals: Option<Vec<f64>> = self.texts.iter().map(|text| text.parse().ok()).collect();
        let mut order: Vec<usize> = (0..self.texts.len()).collect();
        match reals {
            Some(reals) => order.sort_by(|&a, &b| {
                let by_value = reals[a].total_cmp(&reals[b]);
                by_value.then_with(|| self.texts[a].cmp(&self.texts[b]))
            }),
            None => order.sort_by_key(|&at| &self.texts[at]),
        }
        let mut classes = vec![0; order.len()];
        for (class, &at) in order.iter().enumerate() {
            classes[at] = class as u16;
        }
        let names = order.iter().map(|&at| self.texts[at].clone()).collect();
        (self.classes(&classes), order.len() as u16, Some(names))
    }

    fn classes(&self, classes: &[u16]) -> Vec<u16> {
        let records = self.records.iter();
        records.map(|&text| classes[usize::from(text)]).collect()
    }
}

/// What a manifest and a sealed model can count.
const MAX_CLASSES: usize = u16::MAX as usize;
/// Above it a column of labels must look like one: numbers are names then, and most come more than once.
const MANY_CLASSES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(texts: &[&str]) -> (Vec<u16>, u16, Option<Vec<String>>) {
        let mut labels = Labels::new(None);
        for text in texts {
            labels.push(text).unwrap();
        }
        labels.finish().unwrap()
    }

    #[test]
    fn numbers_stay_and_names_are_ordered() {
        assert_eq!(finish(&["3", "0", "3"]), (vec![3, 0, 3], 4, None));
        let names = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect());
        assert_eq!(
            finish(&["b", "a", "b"]),
            (vec![1, 0, 1], 2, names(&["a", "b"]))
        );
        assert_eq!(finish(&["1", "-1"]), (vec![1, 0], 2, names(&["-1", "1"])));
        assert_eq!(
            finish(&["10.0", "9.0"]),
            (vec![1, 0], 2, names(&["9.0", "10.0"]))
        );
        assert_eq!(
            finish(&["5000", "0"]),
            (vec![1, 0], 2, names(&["0", "5000"]))
        );
    }

    #[test]
    fn too_many_classes() {
        let mut labels = Labels::new(None);
        for n in 0..MAX_CLASSES {
            labels.push(&format!("name {n}")).unwrap();
        }
        assert!(labels.push("name 0").is_ok());
        assert!(labels.push("one more").is_err());
    }
}
