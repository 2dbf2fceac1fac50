//! Reads the `json_schema!` literals of k8s-openapi: JSON with trailing commas, and references to
//! other types as calls of the generator.

/// A value of a literal.
pub enum Literal {
    Object(Vec<(String, Literal)>),
    List(Vec<Literal>),
    Text(String),
    /// A reference to a type by its path in the crate, with a description of its own.
    Reference(String, Option<String>),
    /// A number or a boolean, which nobody asks for.
    Other,
}

impl Literal {
    pub fn member(&self, name: &str) -> Option<&Literal> {
        match self {
            Self::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    pub fn members(&self, name: &str) -> &[(String, Literal)] {
        match self.member(name) {
            Some(Self::Object(members)) => members,
            _ => &[],
        }
    }

    pub fn strings(&self, name: &str) -> Vec<&str> {
        match self.member(name) {
            Some(Self::List(items)) => items.iter().filter_map(Self::as_text).collect(),
            _ => Vec::new(),
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.member(name)?.as_text()
    }

    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::Reference(path, _) => Some(path),
            _ => None,
        }
    }

    pub fn description(&self) -> Option<&str> {
        match self {
            Self::Reference(_, description) => description.as_deref(),
            other => other.text("description"),
        }
    }

    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads the literal that the text begins with.
pub fn parse(text: &str) -> Result<Literal, String> {
    Parser { rest: text }.value()
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn eat(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.eat(token) {
            return Ok(());
        }
        let near: String = self.rest.chars().take(40).collect();
        Err(format!("expected {token:?} at {near:?}"))
    }

    fn value(&mut self) -> Result<Literal, String> {
        if self.eat("(") {
            let value = self.call()?;
            self.expect(")")?;
            return Ok(value);
        }
        if self.eat("{") {
            return self.object();
        }
        if self.eat("[") {
            return self.list();
        }
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('"') {
            return Ok(Literal::Text(self.string()?));
        }
        if self.rest.starts_with("__gen") {
            return Ok(Literal::Reference(self.path()?, None));
        }
        let end = self.rest.find([',', '}', ']']).ok_or("an open value")?;
        self.rest = &self.rest[end..];
        Ok(Literal::Other)
    }

    fn object(&mut self) -> Result<Literal, String> {
        let mut members = Vec::new();
        while !self.eat("}") {
            let name = self.string()?;
            self.expect(":")?;
            members.push((name, self.value()?));
            self.eat(",");
        }
        Ok(Literal::Object(members))
    }

    fn list(&mut self) -> Result<Literal, String> {
        let mut items = Vec::new();
        while !self.eat("]") {
            items.push(self.value()?);
            self.eat(",");
        }
        Ok(Literal::List(items))
    }

    fn call(&mut self) -> Result<Literal, String> {
        if !self.eat("{") {
            return Ok(Literal::Reference(self.path()?, None));
        }
        self.expect("let mut schema_obj =")?;
        let path = self.path()?;
        self.expect(";")?;
        self.expect("schema_obj.ensure_object().insert(\"description\".into(),")?;
        let description = self.string()?;
        self.expect(".into());")?;
        self.expect("schema_obj")?;
        self.expect("}")?;
        Ok(Literal::Reference(path, Some(description)))
    }

    fn path(&mut self) -> Result<String, String> {
        self.expect("__gen.subschema_for::<")?;
        let (path, rest) = self.rest.split_once(">()").ok_or("an open call")?;
        self.rest = rest;
        Ok(path.to_owned())
    }

    fn string(&mut self) -> Result<String, String> {
        self.expect("\"")?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some(c @ ('"' | '\\' | '\'')) => text.push(c),
                    other => return Err(format!("unknown escape {other:?}")),
                },
                c => text.push(c),
            }
        }
        Err("an open string".to_owned())
    }
}
