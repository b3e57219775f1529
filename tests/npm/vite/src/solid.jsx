import { render } from "solid-js/web";

import { Account } from "./Account.jsx";

render(() => <Account />, document.getElementById("app"));
