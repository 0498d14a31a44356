// One 32-bit number is a pair of bfloat16, the first in the low half: two products, added to the sum in order.
inline Vec<float> dot_pairs(Vec<float> sum, int32_t pair, Int<float> column) {
    const float first = std::bit_cast<float>(pair << 16), second = std::bit_cast<float>(pair & int32_t(0xffff0000));
    sum += first * cast<Vec<float>>(column << 16);
    return sum + second * cast<Vec<float>>(column & int32_t(0xffff0000));
}
