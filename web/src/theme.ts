import { createTheme, type MantineColorsTuple } from "@mantine/core";

// Ink is the brand's blue, from paper to night.
const ink: MantineColorsTuple = [
  "#eef4fb",
  "#d9e5f3",
  "#b0cae8",
  "#85addd",
  "#6195d3",
  "#4a86ce",
  "#2a68b0",
  "#1f5494",
  "#1d4477",
  "#1d3a5f",
];

// What Mantine takes for dark surfaces, lightest first.
const dark: MantineColorsTuple = ["#e4e9ef", "#c5ced8", "#a0adbb", "#8291a1", "#66788b", "#2b3541", "#1d252f", "#171d25", "#10151b", "#0c1116"];

/** theme fits Mantine's widgets to the tokens; surfaces come from app.css. */
export const theme = createTheme({
  colors: { ink, dark },
  primaryColor: "ink",
  primaryShade: { light: 8, dark: 6 },
  autoContrast: true,
  defaultRadius: 6,
  fontFamily: "var(--sans)",
  fontFamilyMonospace: "var(--mono)",
  fontSizes: { xs: "12px", sm: "13px", md: "14px", lg: "16px", xl: "18px" },
  headings: { fontFamily: "var(--sans)" },
  components: {
    Button: { defaultProps: { size: "xs" } },
    TextInput: { defaultProps: { size: "xs" } },
    PasswordInput: { defaultProps: { size: "sm" } },
    NativeSelect: { defaultProps: { size: "xs" } },
    Textarea: { defaultProps: { size: "xs" } },
  },
});
