// Every loss and function of the spec by its name, for a browser or Node. `f.signature` is what the page says of f.

export { arcface_logits, arcface_loss } from './arcface.mjs';
export { batch_all_active_fraction, batch_all_triplet_loss } from './batch_all.mjs';
export { batch_hard_triplet_loss } from './batch_hard.mjs';
export { center_loss, update_centers } from './center.mjs';
export { circle_loss } from './circle.mjs';
export { contrastive_loss } from './contrastive.mjs';
export { cosface_loss } from './cosface.mjs';
export { cross_entropy_loss } from './cross_entropy.mjs';
export { joint_loss } from './joint.mjs';
export {
  classify_triplets, sample_active, sample_negatives, sample_pairs, sample_triplets, triplet_masks,
} from './mining.mjs';
export { oim_loss, update_oim_memory } from './oim.mjs';
export { semi_hard_triplet_loss } from './semi_hard.mjs';
export { soft_cross_entropy_loss } from './soft_cross_entropy.mjs';
export { triplet_margin_loss } from './triplet_margin.mjs';
export { best_accuracy, val_at_far, verification_accuracy, verification_rates } from './verification.mjs';
