// JPEG and PNG: every colour type against Pillow's result, and every kind of broken file.
#include "support/test.h"

#include <algorithm>

#include "base/files.h"
#include "image/image.h"

using namespace moe;

static std::string fixture(const std::string& name) {
  const char* root = std::getenv("MOE_SOURCE_DIR");
  return std::string(root ? root : ".") + "/tests/fixtures/image/" + name;
}

// Largest difference of two pictures in levels; 256 when the sizes differ.
static int difference(const std::vector<uint8_t>& got, const std::string& want) {
  if (got.size() != want.size()) return 256;
  int largest = 0;
  for (size_t i = 0; i < got.size(); ++i) largest = std::max(largest, std::abs(got[i] - static_cast<uint8_t>(want[i])));
  return largest;
}

static int difference(const std::string& file, const std::string& want) {
  return difference(read_image(fixture(file)).pixels, read_file(fixture(want)));
}

static std::string channel_as_grey(const std::string& rgb, size_t channel) {
  std::string out = rgb;
  for (size_t i = 0; i < out.size(); ++i) out[i] = rgb[i / 3 * 3 + channel];
  return out;
}

static void test_colour_types(void**) {
  CHECK(difference("rgb.png", "rgb.rgb") == 0);
  CHECK(difference("rgb.jpg", "rgb_jpg.rgb") == 0);
  CHECK(difference("palette.png", "palette.rgb") == 0);
  CHECK(difference("alpha.png", "rgb.rgb") == 0);
  const std::string red = channel_as_grey(read_file(fixture("rgb.rgb")), 0);
  CHECK(difference(read_image(fixture("grey16.png")).pixels, red) <= 1);
  const Image grey = read_image(fixture("grey.jpg"));
  for (size_t i = 0; i < grey.pixels.size(); i += 3) {
    CHECK(grey.pixels[i] == grey.pixels[i + 1] && grey.pixels[i] == grey.pixels[i + 2]);
  }
  CHECK(difference(grey.pixels, [&] {
          const Image png = read_image(fixture("grey.png"));
          return std::string(png.pixels.begin(), png.pixels.end());
        }()) <= 8);
}

static void test_sizes(void**) {
  for (const char* name : {"rgb.png", "rgb.jpg", "grey.jpg", "palette.png"}) {
    const ImageSize size = read_image_size(fixture(name));
    CHECK(size.height == 45 && size.width == 61);
  }
}

// A comment of 65,533 bytes twice in front: the size lies behind the bytes that are read first.
static void test_size_far_back(void**) {
  const TemporaryFolder folder;
  const std::string jpeg = read_file(fixture("rgb.jpg"));
  const std::string comment = std::string("\xFF\xFE\xFF\xFF", 4) + std::string(65533, 'x');
  write_file_atomic(folder / "a.jpg", jpeg.substr(0, 2) + comment + comment + jpeg.substr(2));
  const ImageSize size = read_image_size(folder / "a.jpg");
  CHECK(size.height == 45 && size.width == 61);
}

static void test_round_trip(void**) {
  const TemporaryFolder folder;
  const Image image = read_image(fixture("rgb.png"));
  const std::string pixels(image.pixels.begin(), image.pixels.end());
  write_png(folder / "a.png", image);
  CHECK(difference(read_image(folder / "a.png").pixels, pixels) == 0);
  write_jpeg(folder / "a.jpg", image, 95);
  CHECK(difference(read_image(folder / "a.jpg").pixels, pixels) < 100);
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "1 to 100", encode_jpeg(image, 0));
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "0 x 0", encode_png(Image()));
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "0 x 0", encode_jpeg(Image(), 90));
}

static void test_not_a_picture(void**) {
  CHECK_ERROR(MOE_ERR_DATA, "a.jpg: expected a JPEG or PNG, got an empty file", decode_image("", "a.jpg"));
  CHECK_ERROR(MOE_ERR_DATA, "start with 47 49 46", decode_image("GIF89a", "a.jpg"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "absent.jpg", read_image("/tmp/absent.jpg"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "absent.jpg", read_image_size("/tmp/absent.jpg"));
  CHECK_ERROR(MOE_ERR_DATA, "CMYK", read_image(fixture("cmyk.jpg")));
}

static void test_truncated(void**) {
  for (const char* name : {"rgb.jpg", "rgb.png", "grey.jpg"}) {
    const std::string bytes = read_file(fixture(name));
    for (const double share : {0.01, 0.1, 0.4, 0.9}) {
      const std::string part = bytes.substr(0, static_cast<size_t>(share * static_cast<double>(bytes.size())));
      CHECK_ERROR(MOE_ERR_DATA, name, decode_image(part, name));
    }
  }
  const std::string jpeg = read_file(fixture("rgb.jpg"));
  CHECK_ERROR(MOE_ERR_DATA, "premature end", decode_image(jpeg.substr(0, jpeg.size() / 2), "a.jpg"));
  CHECK_ERROR(MOE_ERR_DATA, "premature end", decode_image(jpeg.substr(0, jpeg.size() - 2), "a.jpg"));
}

// Flipped bits inside the scan give a warning that Pillow accepts too; flipped and cut short is refused.
static void test_flipped_bits(void**) {
  std::string jpeg = read_file(fixture("rgb.jpg"));
  for (size_t i = jpeg.size() / 2; i < jpeg.size() / 2 + 40; ++i) jpeg[i] = '\x5A';
  CHECK(decode_image(jpeg, "a.jpg").width == 61);
  jpeg.resize(jpeg.size() - 2);
  CHECK_ERROR(MOE_ERR_DATA, "premature end", decode_image(jpeg, "a.jpg"));
}

static void set_big_endian(std::string& bytes, size_t at, uint32_t value, int count) {
  for (int i = 0; i < count; ++i)
    bytes[at + static_cast<size_t>(i)] = static_cast<char>(value >> (8 * (count - 1 - i)));
}

static void test_enormous_header(void**) {
  std::string jpeg = read_file(fixture("rgb.jpg"));
  const size_t frame = jpeg.find("\xFF\xC0");
  CHECK(frame != std::string::npos);
  set_big_endian(jpeg, frame + 5, 65000, 2);
  set_big_endian(jpeg, frame + 7, 65000, 2);
  CHECK_ERROR(MOE_ERR_DATA, "65000 x 65000", decode_image(jpeg, "a.jpg"));
  std::string png = read_file(fixture("rgb.png"));
  set_big_endian(png, 16, 900000, 4);
  set_big_endian(png, 29, crc32(0, png.data() + 12, 17), 4);
  CHECK_ERROR(MOE_ERR_DATA, "900000 x 45", decode_image(png, "a.png"));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_colour_types), cmocka_unit_test(test_sizes),           cmocka_unit_test(test_size_far_back),
      cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_not_a_picture),   cmocka_unit_test(test_truncated),
      cmocka_unit_test(test_flipped_bits), cmocka_unit_test(test_enormous_header),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
