// A button beside each token that copies it. Without scripts people select the field and copy.
for (const button of document.querySelectorAll("[data-copies]")) {
  const field = document.getElementById(button.dataset.copies);
  button.hidden = false;
  field.addEventListener("focus", () => field.select());
  // It had the focus before this script ran.
  if (field === document.activeElement) field.select();
  button.addEventListener("click", async () => {
    field.focus();
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      // There is no clipboard for scripts where a page came by plain HTTP.
      document.execCommand("copy");
    }
    button.nextElementSibling.textContent = button.dataset.copied;
  });
}
