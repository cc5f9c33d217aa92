//! The plugin behind another one: the sandbox's interface is theirs, its localhost becomes that of a loopback group.

use super::{CniError, Environment, args::invalid, node::Node};
use crate::loopback::{GroupSize, GroupSizeError, JoinWish};
use serde_json::Value;

/// What the plugin does for a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// An interface of the pod's.
    #[default]
    Pod,
    /// The endpoint of a fraction, for pods that are split.
    Loopback,
}

/// Annotations of pods, which containerd and CRI-O hand over to plugins that have the capability of this name.
const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";
const GROUP_ANNOTATION: &str = "nestless.io/loopback-group";
const FRACTION_ANNOTATION: &str = "nestless.io/loopback-fraction";
const SIZE_ANNOTATION: &str = "nestless.io/loopback-size";
const GROUP_ARGUMENT: &str = "NESTLESS_GROUP";
const FRACTION_ARGUMENT: &str = "NESTLESS_FRACTION";
const SIZE_ARGUMENT: &str = "NESTLESS_SIZE";
const NAME: &str = "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit";

impl Mode {
    pub(super) fn parse(conf: &Node<'_>) -> Result<Self, CniError> {
        let Some(mode) = conf.get("mode")? else { return Ok(Self::Pod) };
        let expected = "\"pod\" or \"loopback\"";
        match mode.text(expected)? {
            "" | "pod" => Ok(Self::Pod),
            "loopback" => Ok(Self::Loopback),
            _ => Err(mode.wrong(expected)),
        }
    }
}

/// Group, fraction and, where it is said, the group's size, from the first place that names them: `runtimeConfig.loopback`, the pod's annotations,
/// `args.cni.loopback`, CNI_ARGS, and the configuration's own `loopback`. `None`: the pod is not split.
pub(super) fn wish(conf: &Value, environment: &Environment) -> Result<Option<JoinWish>, CniError> {
    let root = Node::root(conf);
    let runtime = root.get("runtimeConfig")?;
    if let Some(wish) = runtime.as_ref().map(|runtime| object(runtime)).transpose()?.flatten() {
        return Ok(Some(wish));
    }
    let annotations = runtime.map(|runtime| runtime.get(ANNOTATIONS)).transpose()?.flatten();
    if let Some(wish) = annotations
        .map(|node| named(&node, [GROUP_ANNOTATION, FRACTION_ANNOTATION, SIZE_ANNOTATION]))
        .transpose()?
        .flatten()
    {
        return Ok(Some(wish));
    }
    let arguments = root.get("args")?.map(|args| args.get("cni")).transpose()?.flatten();
    if let Some(wish) = arguments.map(|cni| object(&cni)).transpose()?.flatten() {
        return Ok(Some(wish));
    }
    match from_arguments(environment)? {
        Some(wish) => Ok(Some(wish)),
        None => object(&root),
    }
}

fn object(node: &Node<'_>) -> Result<Option<JoinWish>, CniError> {
    node.get("loopback")?
        .map(|loopback| named(&loopback, ["group", "fraction", "size"]))
        .transpose()
        .map(Option::flatten)
}

fn named(node: &Node<'_>, [group, fraction, size]: [&str; 3]) -> Result<Option<JoinWish>, CniError> {
    if node.get(group)?.is_none() && node.get(fraction)?.is_none() {
        return Ok(None);
    }
    Ok(Some(JoinWish {
        group: node.need(group, "the name of the loopback group beside that of the fraction")?.parse(NAME)?,
        fraction: node.need(fraction, "the name of the fraction beside that of its group")?.parse(NAME)?,
        size: node.get(size)?.map(|size| read_size(&size)).transpose()?,
    }))
}

/// A number; a text of one where, as in annotations, there are only texts.
fn read_size(node: &Node<'_>) -> Result<GroupSize, CniError> {
    let expected = GroupSizeError.to_string();
    let expected = expected.strip_prefix("expected ").unwrap_or(&expected);
    if node.value().is_string() {
        node.parse(expected)
    } else {
        node.integer::<u32>(expected)?.try_into().map_err(|_| node.wrong(expected))
    }
}

fn from_arguments(environment: &Environment) -> Result<Option<JoinWish>, CniError> {
    let text = environment.get("CNI_ARGS").unwrap_or_default();
    let value = |wanted: &str| {
        let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, value)| *key == wanted && !value.is_empty()).map(|(_, value)| value).next_back()
    };
    let (group, fraction) = match (value(GROUP_ARGUMENT), value(FRACTION_ARGUMENT)) {
        (None, None) => return Ok(None),
        (Some(group), Some(fraction)) => (group, fraction),
        _ => {
            let message = format!(
                "CNI_ARGS has one of {GROUP_ARGUMENT} and {FRACTION_ARGUMENT}: expected both, or neither"
            );
            return Err(invalid(message));
        }
    };
    Ok(Some(JoinWish {
        group: group.parse().map_err(|e| invalid(format!("CNI_ARGS {GROUP_ARGUMENT}: {e}")))?,
        fraction: fraction.parse().map_err(|e| invalid(format!("CNI_ARGS {FRACTION_ARGUMENT}: {e}")))?,
        size: value(SIZE_ARGUMENT)
            .map(|size| size.parse().map_err(|e| invalid(format!("CNI_ARGS {SIZE_ARGUMENT}: {e}"))))
            .transpose()?,
    }))
}
