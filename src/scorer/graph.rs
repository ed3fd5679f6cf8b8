//! Extracts a graph's properties beside inputs and outputs: ZipMaps, class names, known categories.

use std::collections::{BTreeMap, HashMap, HashSet};

use prost::{Message, bytes::Bytes};

use super::{
    causes::Causes,
    index_limits,
    onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto},
    tokens,
};
use crate::domain::problem::Problem;

/// A ZipMap at an output, and the tensor to read instead of its sequence of maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZipMap {
    /// The graph output, which is not read.
    pub output: String,
    /// The ZipMap's input tensor.
    pub tensor: String,
    /// Class names, in column order.
    pub classes: Vec<String>,
}

/// Tensors in a sequence at an output (MultiOutputClassifier's), which are read one by one by their
/// own names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The graph output that is a sequence.
    pub output: String,
    /// The sequence's input tensors, in order.
    pub tensors: Vec<String>,
}

/// Values that an input is known to take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Categories {
    /// Constants with which texts are compared in the graph.
    pub texts: Vec<String>,
    /// Constants with which integers are compared in the graph.
    pub integers: Vec<i64>,
    /// Integers from 0 on are below this limit: the rows of the table that they index, or 2 for a
    /// mask of tokens.
    pub limit: Option<u64>,
}

/// All properties of a file beside its tensors' types.
#[derive(Debug)]
pub struct GraphInfo {
    pub outputs: Vec<String>,
    /// ZipMaps among them.
    pub zipmaps: Vec<ZipMap>,
    /// Sequences among them.
    pub sequences: Vec<Sequence>,
    /// Bytes to append so that inputs of ZipMaps and sequences can be read; often empty.
    pub merge: Vec<u8>,
    /// By input name.
    pub categories: HashMap<String, Categories>,
    /// Class names found in the graph, by the name of the tensor to read.
    pub classes: HashMap<String, Vec<String>>,
    /// Lasting warnings about the file's tokenization.
    pub warnings: Vec<String>,
    /// Metadata `helenus.features`.
    pub metadata_features: Vec<String>,
    /// Metadata `helenus.classes`.
    pub metadata_classes: Vec<String>,
    /// `domain -> version`, the default domain as `ai.onnx`.
    pub opsets: BTreeMap<String, i64>,
    pub ir_version: i64,
    /// Exclusive limits of inputs that index tables.
    pub index_limits: BTreeMap<String, u64>,
    /// Properties that explain findings of trial rows.
    pub(super) causes: Causes,
}

impl GraphInfo {
    /// Reads a validated graph.
    ///
    /// # Errors
    /// helenus's own metadata is not a JSON list of texts.
    pub fn read(model: &ModelProto) -> Result<Self, Problem> {
        let empty = GraphProto::default();
        let graph = Graph::new(model.graph.as_ref().unwrap_or(&empty));
        let names = |values: &[ValueInfoProto]| -> Vec<String> {
            values.iter().map(|value| value.name.clone()).collect()
        };
        let outputs = names(&graph.graph.output);
        let zipmaps = graph.zipmaps();
        let sequences = graph.sequences();
        let within = sequences.iter().flat_map(|sequence| &sequence.tensors);
        let tensors = || {
            zipmaps
                .iter()
                .map(|zipmap| &zipmap.tensor)
                .chain(within.clone())
        };
        let mut hidden: Vec<&str> = tensors().map(String::as_str).collect();
        hidden.retain(|tensor| !outputs.iter().any(|output| output == tensor));
        dedup(&mut hidden);
        let read = outputs.iter().chain(tensors());
        let classes = read
            .filter_map(|name| Some((name.clone(), graph.classes_of(name)?)))
            .collect();
        let inputs = names(&graph.graph.input).into_iter();
        let index_limits = index_limits::find(graph.graph);
        Ok(Self {
            merge: merge_bytes(hidden),
            categories: inputs
                .map(|name| {
                    let mut categories = graph.categories_of(&name);
                    categories.limit = index_limits::limit_of(&index_limits, &name);
                    (name, categories)
                })
                .collect(),
            classes,
            metadata_features: list(model, "helenus.features")?,
            metadata_classes: list(model, "helenus.classes")?,
            opsets: opsets(model),
            ir_version: model.ir_version,
            causes: Causes::find(model),
            warnings: tokens::warnings(graph.graph),
            index_limits,
            outputs,
            zipmaps,
            sequences,
        })
    }
}

pub(super) fn list(model: &ModelProto, key: &str) -> Result<Vec<String>, Problem> {
    let Some(entry) = model.metadata_props.iter().find(|entry| entry.key == key) else {
        return Ok(Vec::new());
    };
    serde_json::from_str(&entry.value).map_err(|error| {
        Problem::new(
            "model.metadata",
            format!("metadata `{key}` is not a JSON list of texts: {error}"),
        )
        .help(r#"write it as ["first", "second"]"#)
    })
}

/// The main graph, indexed by producer and consumers of each tensor.
#[derive(Debug)]
struct Graph<'a> {
    graph: &'a GraphProto,
    makers: HashMap<&'a str, &'a NodeProto>,
    takers: HashMap<&'a str, Vec<&'a NodeProto>>,
    constants: HashMap<&'a str, &'a TensorProto>,
}

impl<'a> Graph<'a> {
    fn new(graph: &'a GraphProto) -> Self {
        let mut takers: HashMap<_, Vec<_>> = HashMap::new();
        let mut makers = HashMap::new();
        for node in &graph.node {
            for input in &node.input {
                takers.entry(input.as_str()).or_default().push(node);
            }
            for output in &node.output {
                makers.insert(output.as_str(), node);
            }
        }
        let constants = graph.initializer.iter().map(|t| (t.name.as_str(), t));
        Self {
            graph,
            makers,
            takers,
            constants: constants.collect(),
        }
    }

    /// Returns the ZipMaps that end at an output, before any number of Identity nodes.
    fn zipmaps(&self) -> Vec<ZipMap> {
        let outputs = self.graph.output.iter();
        outputs
            .filter_map(|output| {
                let node = self.maker(&output.name, "ZipMap")?;
                Some(ZipMap {
                    output: output.name.clone(),
                    tensor: node.input.first()?.clone(),
                    classes: class_labels(node).unwrap_or_default(),
                })
            })
            .collect()
    }

    /// Returns the sequences that are constructed of tensors and end at an output.
    fn sequences(&self) -> Vec<Sequence> {
        let outputs = self.graph.output.iter();
        outputs
            .filter_map(|output| {
                let node = self.maker(&output.name, "SequenceConstruct")?;
                Some(Sequence {
                    output: output.name.clone(),
                    tensors: node.input.clone(),
                })
            })
            .collect()
    }

    /// Returns the node of that kind that produces a tensor, before any number of Identity nodes.
    fn maker(&self, tensor: &str, op_type: &str) -> Option<&'a NodeProto> {
        let mut name = tensor;
        // No chain is longer than the graph.
        for _ in 0..=self.graph.node.len() {
            let node = *self.makers.get(name)?;
            match node.op_type.as_str() {
                kind if kind == op_type => return Some(node),
                "Identity" => name = node.input.first()?,
                _ => return None,
            }
        }
        None
    }

    /// Returns class names of the columns of `output`: the `classlabels` of the nearest preceding
    /// classifiers, if they agree.
    fn classes_of(&self, output: &str) -> Option<Vec<String>> {
        let mut level = vec![output];
        let mut seen = HashSet::new();
        while !level.is_empty() {
            let mut found: Vec<Vec<String>> = Vec::new();
            let mut before = Vec::new();
            for name in level {
                let Some(node) = self.makers.get(name) else {
                    continue;
                };
                match class_labels(node) {
                    Some(classes) => found.push(self.renamed(node, classes)),
                    None => before.extend(
                        node.input
                            .iter()
                            .map(String::as_str)
                            .filter(|input| seen.insert(*input)),
                    ),
                }
            }
            found.dedup();
            match found.len() {
                0 => level = before,
                1 => return found.pop(),
                _ => return None,
            }
        }
        None
    }

    /// Returns the texts to which a LabelEncoder after the classifier maps integer labels.
    fn renamed(&self, classifier: &NodeProto, classes: Vec<String>) -> Vec<String> {
        let encoders = self
            .after(classifier.output.iter().map(String::as_str))
            .into_iter()
            .filter(|node| node.op_type == "LabelEncoder");
        for encoder in encoders {
            let keys = attribute(encoder, "keys_int64s").map(|keys| &keys.ints);
            let values = attribute(encoder, "values_strings").map(|values| &values.strings);
            let (Some(keys), Some(values)) = (keys, values) else {
                continue;
            };
            let names: HashMap<String, String> = keys
                .iter()
                .map(ToString::to_string)
                .zip(values.iter().map(text))
                .collect();
            if let Some(names) = classes.iter().map(|c| names.get(c).cloned()).collect() {
                return names;
            }
        }
        classes
    }

    /// Returns the values with which `input` is compared: categories of encoders, vocabularies,
    /// constants.
    fn categories_of(&self, input: &str) -> Categories {
        let mut categories = Categories::default();
        for node in self.after([input]) {
            for attribute in &node.attribute {
                match attribute.name.as_str() {
                    "cats_strings" | "keys_strings" | "classes_strings" | "pool_strings"
                    | "string_vocabulary" => {
                        categories.texts.extend(attribute.strings.iter().map(text));
                    }
                    "cats_int64s" | "keys_int64s" | "int64_vocabulary" | "pool_int64s" => {
                        categories.integers.extend(&attribute.ints);
                    }
                    "keys_tensor" => {
                        let keys = attribute.t.iter().flat_map(|t| &t.string_data);
                        categories.texts.extend(keys.map(text));
                    }
                    _ => {}
                }
            }
            if node.op_type == "Equal" {
                for constant in node
                    .input
                    .iter()
                    .filter_map(|i| self.constants.get(i.as_str()))
                {
                    categories
                        .texts
                        .extend(constant.string_data.iter().map(text));
                }
            }
        }
        dedup(&mut categories.texts);
        dedup(&mut categories.integers);
        categories
    }

    /// Returns all nodes after these tensors, nearest first; not beyond an encoder, whose output
    /// has another vocabulary.
    fn after<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<&'a NodeProto> {
        let mut nodes: Vec<&NodeProto> = Vec::new();
        let mut seen = HashSet::new();
        let mut names: Vec<&str> = names.into_iter().collect();
        while !names.is_empty() {
            let mut behind = Vec::new();
            for node in names
                .iter()
                .filter_map(|name| self.takers.get(name))
                .flatten()
            {
                if seen.insert(std::ptr::from_ref::<NodeProto>(node)) {
                    nodes.push(node);
                    let ends = matches!(
                        node.op_type.as_str(),
                        "LabelEncoder" | "OneHotEncoder" | "TfIdfVectorizer" | "CategoryMapper"
                    );
                    if !ends {
                        behind.extend(node.output.iter().map(String::as_str));
                    }
                }
            }
            names = behind;
        }
        nodes
    }
}

/// Returns bytes that, appended to the stored bytes, make these tensors outputs. Protobuf merges
/// consecutive messages, so `ModelProto{graph{output{name}}}` adds outputs and changes nothing
/// else.
fn merge_bytes<'n>(tensors: impl IntoIterator<Item = &'n str>) -> Vec<u8> {
    let output: Vec<_> = tensors
        .into_iter()
        .map(|name| ValueInfoProto {
            name: name.to_owned(),
            r#type: None,
        })
        .collect();
    if output.is_empty() {
        return Vec::new();
    }
    ModelProto {
        graph: Some(GraphProto {
            output,
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
    .encode_to_vec()
}

fn opsets(model: &ModelProto) -> BTreeMap<String, i64> {
    let imports = model.opset_import.iter();
    imports
        .map(|opset| match opset.domain.as_str() {
            "" => ("ai.onnx".to_owned(), opset.version),
            domain => (domain.to_owned(), opset.version),
        })
        .collect()
}

pub(super) fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute
        .iter()
        .find(|attribute| attribute.name == name)
}

/// Returns `classlabels_strings`, or integers (`_ints` or `_int64s`) as text.
fn class_labels(node: &NodeProto) -> Option<Vec<String>> {
    let texts = attribute(node, "classlabels_strings").map(|a| &a.strings);
    if let Some(texts) = texts.filter(|texts| !texts.is_empty()) {
        return Some(texts.iter().map(text).collect());
    }
    ["classlabels_int64s", "classlabels_ints"]
        .into_iter()
        .filter_map(|name| attribute(node, name))
        .find(|attribute| !attribute.ints.is_empty())
        .map(|attribute| attribute.ints.iter().map(ToString::to_string).collect())
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn dedup<T: Ord>(values: &mut Vec<T>) {
    values.sort();
    values.dedup();
}
