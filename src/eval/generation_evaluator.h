// Samples of a generative model against the pictures it was trained on, by features of a network that the user chooses:
// KID, FID, precision, recall, density, coverage, Inception score, class accuracy, distance to the nearest training
// picture. Each number stands beside the same number of validation pictures, the best that it can be.
#pragma once

#include <memory>

#include "eval/evaluator.h"
#include "eval/features.h"
#include "eval/generation.h"

namespace moe {

struct GenerationOptions {
  int64_t samples = 0;            // generated for an evaluation; 0: none, and no metrics
  int64_t batch = 32;             // of them at once
  int64_t classes = 0;            // taken in turn; 0: unconditional
  std::string extractor;          // a TorchScript file, a run folder or checkpoint of task classifier, or "": pixels
  ExtractorInput input;           // of a TorchScript file
  std::string reference;          // npz with the statistics FID compares with, written where it is absent; "": none
  int64_t most_pictures = 10000;  // training pictures compared with
  int64_t neighbours = 5;         // k of precision, recall, density and coverage
};

// What is known of the training pictures and the extractor. Made by a task, filled by its first evaluation.
class GenerationReference {
 public:
  // Loads a TorchScript file and tries it on pictures of this size. MOE_ERR_NOT_FOUND, MOE_ERR_DATA.
  GenerationReference(const GenerationOptions& options, at::IntArrayRef picture);  // picture: [C, H, W]

  FeatureExtractor extractor;       // none yet for a model of libmoe
  std::vector<at::Tensor> batches;  // features while pictures come in
  int64_t count = 0;
  bool complete = false;
  at::Tensor features;     // [M, D]
  FeatureMoments moments;  // of FID
};

// Fields read: images [B, C, H, W] in 0..1 and labels of the batches. Requests: indices, and labels of a conditional
// model; its result: images. Metrics, each as NAME/LABEL and NAME_real/LABEL (feature_label): KID, FID, precision,
// recall, density, coverage, IS, class_accuracy (-1 without logits, or with others than the classes), nearest.
std::unique_ptr<Evaluator> make_generation_evaluator(GenerationOptions options,
                                                     std::shared_ptr<GenerationReference> reference);

}  // namespace moe
