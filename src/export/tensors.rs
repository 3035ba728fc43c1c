//! Named tensors, and the safetensors file that PyTorch programs load them from.

use std::collections::HashMap;

use safetensors::{Dtype, tensor::TensorView};

/// Name, shape and values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Tensor {
    pub fn new(name: impl Into<String>, shape: &[usize], values: Vec<f32>) -> Self {
        Tensor { name: name.into(), shape: shape.into(), values }
    }

    /// The same under another name.
    pub fn named(self, name: impl Into<String>) -> Self {
        Tensor { name: name.into(), ..self }
    }

    /// The same in three equal parts along its first axis: queries, keys and values of one matrix.
    pub fn thirds(&self, names: [String; 3]) -> [Tensor; 3] {
        let (rows, part) = (self.shape[0] / 3, self.values.len() / 3);
        let shape: Vec<usize> = [&[rows], &self.shape[1..]].concat();
        let mut parts = self.values.chunks_exact(part);
        names.map(|name| Tensor::new(name, &shape, parts.next().unwrap_or_default().to_vec()))
    }
}

/// The bytes of a file with these tensors. `format: pt` is what some versions of transformers ask for.
pub(super) fn safetensors_bytes(tensors: &[Tensor]) -> Result<Vec<u8>, safetensors::SafeTensorError> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|t| t.values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let view = |(tensor, bytes)| -> Result<_, safetensors::SafeTensorError> {
        let Tensor { name, shape, .. }: &Tensor = tensor;
        let bytes: &Vec<u8> = bytes;
        Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?))
    };
    let views = tensors.iter().zip(&bytes).map(view).collect::<Result<Vec<_>, _>>()?;
    safetensors::serialize(views, Some(HashMap::from([("format".to_owned(), "pt".to_owned())])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_keys_and_values_are_thirds_of_the_rows() {
        let qkv = Tensor::new("qkv", &[6, 2], (0..12).map(|v| v as f32).collect());
        let [q, _, v] = qkv.thirds(["q", "k", "v"].map(String::from));
        assert_eq!(q, Tensor::new("q", &[2, 2], vec![0.0, 1.0, 2.0, 3.0]));
        assert_eq!(v, Tensor::new("v", &[2, 2], vec![8.0, 9.0, 10.0, 11.0]));
    }
}
