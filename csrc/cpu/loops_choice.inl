// Which instances of the loops a call takes. Included by loops.inl.

template <typename T, int... kPowers>
void choose_power(Loops<T>& loops, int power, std::integer_sequence<int, kPowers...>) {
  const auto choose = [&](auto constant) {
    constexpr int kPower = decltype(constant)::value;
    if (power != kPower) return;
    loops.prepare = prepare<T, kPower>;
    loops.masks = masks<T, kPower>;
    loops.add_slopes = add_slopes<T, kPower>;
    loops.concrete = concrete<T, kPower>;
  };
  (choose(std::integral_constant<int, kPowers>{}), ...);
}

template <typename T, typename Stored>
void choose_image(Loops<T>& loops) {
  loops.load_image = load_image<T, Stored>;
  loops.store_image = store_image<T, Stored>;
}

template <typename T, typename Stored, int kChannels>
void choose_channels(Loops<T>& loops, bool channels_last) {
  loops.blend = channels_last ? blend_pixels<T, Stored, kChannels> : blend_planes<T, Stored>;
  loops.project = channels_last ? project_pixels<T, Stored, kChannels> : project_planes<T, Stored, kChannels>;
}

template <typename T, typename Stored>
void choose_composite(Loops<T>& loops, const LoopChoice& choice) {
  switch (choice.channels) {
    case 1:
      choose_channels<T, Stored, 1>(loops, choice.channels_last);
      break;
    case 3:
      choose_channels<T, Stored, 3>(loops, choice.channels_last);
      break;
    default:
      choose_channels<T, Stored, 0>(loops, choice.channels_last);
  }
  loops.add_image_gradients =
      choice.channels_last ? add_image_gradients<T, Stored, true> : add_image_gradients<T, Stored, false>;
}

template <typename T>
Loops<T> common_loops(const LoopChoice& choice) {
  Loops<T> loops{};
  loops.words = words;
  loops.load_masks = load_image<T, T>;
  loops.subtract = subtract<T>;
  loops.stream = stream;
  loops.interpolate_columns = interpolate_columns<T>;
  loops.interpolate_rows = interpolate_rows<T>;
  loops.add_scaled = add_scaled<T>;
  loops.gather_columns = gather_columns<T>;
  loops.scale = scale<T>;
  loops.rates = cpu::SDFIDO_ISA::rates<T>;
  loops.penalties = penalties<T>;
  loops.add_penalty_gradient = add_penalty_gradient<T>;
  loops.concrete_gradient = concrete_gradient<T>;
  choose_power(loops, choice.power, std::integer_sequence<int, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20>{});
  return loops;
}

Loops<float> float32_loops(const LoopChoice& choice) {
  auto loops = common_loops<float>(choice);
  switch (choice.image_format) {
    case Format::kBFloat16:
      choose_image<float, BFloat16>(loops);
      break;
    case Format::kFloat16:
      choose_image<float, Float16>(loops);
      break;
    default:
      choose_image<float, float>(loops);
  }
  switch (choice.composite_format) {
    case Format::kBFloat16:
      choose_composite<float, BFloat16>(loops, choice);
      break;
    case Format::kFloat16:
      choose_composite<float, Float16>(loops, choice);
      break;
    default:
      choose_composite<float, float>(loops, choice);
  }
  return loops;
}

Loops<double> float64_loops(const LoopChoice& choice) {
  auto loops = common_loops<double>(choice);
  choose_image<double, double>(loops);
  choose_composite<double, double>(loops, choice);
  return loops;
}
