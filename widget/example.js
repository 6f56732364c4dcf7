// How a page embeds the widget and signs shoppers in. A shop does the same with its own sign-in:
// whatever gets an access token for the shopper.
const offers = document.querySelector("hissaback-offers");
const told = document.getElementById("told");

const chosen = new URLSearchParams(location.search).get("widget-id") ?? "";
document.forms.choice.elements["widget-id"].value = chosen;
offers.setAttribute("widget-id", chosen);

// The access token, in this page's memory only.
let token = null;
offers.token = ({ refused }) => {
  if (refused) token = null;
  return token;
};
offers.addEventListener("hissaback-sign-in", () => document.forms.phone.elements.phone.focus());

let request = null;

async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.user_message);
  return answer;
}

function onSubmit(name, act) {
  document.forms[name].addEventListener("submit", async (event) => {
    event.preventDefault();
    told.textContent = "";
    try {
      await act(document.forms[name].elements);
    } catch (error) {
      told.textContent = error.message;
    }
  });
}

onSubmit("phone", async ({ phone }) => {
  request = (await post("/v1/auth/otp/request", { phone: phone.value })).request_id;
  document.forms.code.hidden = false;
  document.forms.code.elements.code.focus();
});

onSubmit("code", async ({ code }) => {
  token = (await post("/v1/auth/otp/verify", { request_id: request, code: code.value })).jwt;
  document.forms.code.hidden = true;
  told.textContent = "Signed in.";
  offers.refresh();
});
