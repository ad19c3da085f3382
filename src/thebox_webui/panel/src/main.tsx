// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import "@fontsource-variable/inter/wght.css";
import "ol/ol.css";
import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import "./style/shell.css";
import "./style/lists.css";
import "./style/parts.css";
import "./style/touch.css";
import { render } from "preact";
import { start } from "./state/box";
import { keepPreferences } from "./state/preferences";
import { App } from "./ui/App";

keepPreferences();
void start();
const root = document.getElementById("app");
if (root !== null) render(<App />, root);
