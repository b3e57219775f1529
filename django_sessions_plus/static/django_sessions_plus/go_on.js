// Send the next request of work that takes many; without scripts people press the button.
document.getElementById("dsp-go-on").requestSubmit();
