"""Drop-in for torch.nn.RNN, GRU and LSTM: the same constructor, start, call, results and parameter names."""

from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from latchwork import cells, kernels
from latchwork.cells import Cell, HiddenState, LSTMState
from latchwork.errors import DataError, KernelError, StateError
from latchwork.kernels import Choice, Rows, Session, check_kernel
from latchwork.layers.bind import bound
from latchwork.layers.layout import Layout, arrange, rows_of
from latchwork.layers.regularize import OUTPUT, check_rate, draw_key, dropout, fold, regularized
from latchwork.types import Bool, Float, Int, Tensor

State = tuple[Any, ...]


class _DropIn(nn.RNNBase):
    """What the three have in common. It stands before torch's class, which does all that needs none of the extras."""

    def __init__(
        self,
        *args: Any,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        weight_drop: float = 0.0,
        learn_initial_state: bool = False,
        kernel: str = "auto",
        **kwargs: Any,
    ) -> None:
        check_kernel(kernel)
        rates = {"recurrent_dropout": recurrent_dropout, "zoneout": zoneout, "weight_drop": weight_drop}
        rates = {name: check_rate(name, rate) for name, rate in rates.items()}
        super().__init__(*args, **kwargs)
        self.recurrent_dropout = rates["recurrent_dropout"]
        self.zoneout = rates["zoneout"]
        self.weight_drop = rates["weight_drop"]
        self.learn_initial_state = learn_initial_state
        self.kernel = kernel
        directions = 2 if self.bidirectional else 1
        # On the meta device a cell has shapes and no numbers: it lends its equation, the weights stay torch's.
        # In a tuple, and so not registered: state_dict and parameters() hold torch's names alone.
        self._templates = tuple(
            self._template(self.input_size if layer == 0 else directions * (self.proj_size or self.hidden_size))
            for layer in range(self.num_layers)
            for _ in range(directions)
        )
        if learn_initial_state:
            weight: Any = self.weight_ih_l0
            for field, leaf in self._templates[0].initial_state(1)._asdict().items():
                zeros = weight.new_zeros(len(self._templates), leaf.shape[-1])
                self.register_parameter(f"initial_{field}", nn.Parameter(zeros))

    def _template(self, input_size: int) -> Cell:
        raise TypeError(f"{type(self).__name__} is not used on its own: take RNN, GRU or LSTM")

    def forward(  # type: ignore[override]
        self,
        input: Tensor | PackedSequence,
        hx: Any = None,
        *,
        lengths: Int[Tensor, " batch"] | None = None,
        resets: Bool[Tensor, "..."] | None = None,
    ) -> tuple[Any, Any]:
        """torch.nn's call, and two keywords more.

        lengths: [batch], steps of each row of a padded batch: outputs past them are zero, h_n is each row's own last
        state, the backward direction begins at each row's own end. resets: True where the state before a step is the
        initial one (backwards: after it); it lies as the input does, without the features.
        """
        if not self._extras(lengths, resets):
            if not self._on_engine():
                return super().forward(input, self._start(input) if hx is None and self.learn_initial_state else hx)
            try:
                return self._forward(input, hx, None, None)
            except (DataError, StateError):
                # What torch would refuse as well is refused in torch's words, as scripts expect that swap the import.
                super().forward(input, hx)
                raise
        return self._forward(input, hx, lengths, resets)

    def _forward(self, input: Any, hx: Any, lengths: Tensor | None, resets: Tensor | None) -> tuple[Any, Any]:
        if self.kernel == "torch" and resets is not None:
            raise KernelError('kernel "torch" can\'t run this: PyTorch has no resets inside a row; use kernel="auto"')
        if isinstance(input, Tensor) and input.dim() not in (2, 3):
            raise DataError(f"input has shape {tuple(input.shape)}, expected 2 axes (one sequence) or 3")
        if isinstance(input, PackedSequence) and lengths is None and resets is None and self._keeps_packed():
            return self._packed(input, hx)
        values, ends, resets, layout = arrange(input, lengths, resets, batch_first=self.batch_first)
        if values.shape[-1] != self.input_size:
            raise DataError(f"input has {values.shape[-1]} features, expected {self.input_size}")
        states = self._fresh(len(values)) if hx is None else self._given(hx, len(values), layout)
        outputs, after = self._run(values, states, ends, resets)
        return layout.outputs(outputs), self._laid_out(after, layout)

    def _keeps_packed(self) -> bool:
        """Whether packed rows are run as they are. Masks between layers are those of the padded form."""
        between = self.training and self.dropout and self.num_layers > 1
        return self._on_engine() and not between and not torch.compiler.is_compiling()

    def _packed(self, packed: PackedSequence, hx: Any) -> tuple[Any, Any]:
        """Rows behind each other in place of rows side by side, and back: no padding is ever made."""
        if packed.data.shape[-1] != self.input_size:
            raise DataError(f"input has {packed.data.shape[-1]} features, expected {self.input_size}")
        rows, places = rows_of(packed)
        layout = Layout(self.batch_first, packed=packed)
        states = self._fresh(rows.batch) if hx is None else self._given(hx, rows.batch, layout)
        outputs, after = self._run(packed.data.index_select(0, places), states, None, None, rows)
        data = outputs.new_empty(outputs.shape).index_copy_(0, places, outputs)
        return packed._replace(data=data), self._laid_out(after, layout)

    def step(self, x_t: Float[Tensor, "batch input"], state: State) -> tuple[Float[Tensor, "batch output"], State]:
        """One step of inference through all layers: nothing is dropped. The state given is left as it was."""
        self._refuse_steps()
        if len(state) != self.num_layers:
            raise StateError(f"state has {len(state)} parts, expected {self.num_layers}: one for each layer")
        after = []
        for place, own in enumerate(state):
            cell = regularized(self._bound(place), zoneout=self.zoneout)
            x_t, final = cell.step(cell.project(x_t), own)
            after.append(final)
        return x_t, tuple(after)

    def session(self, batch: int = 1, *, narrow: bool = False) -> Session:
        """A live session of ``batch`` rows through all layers on the engine; see :class:`Session`.

        It keeps the weights that the layer has now: make another one after training on.
        """
        self._refuse_steps()
        cells = [regularized(self._bound(place), zoneout=self.zoneout) for place in range(self.num_layers)]
        session = Session(cells, batch=batch, narrow=narrow)
        session.state = self._fresh(batch)
        return session

    def initial_state(self, batch: int) -> State:
        """The state before the first step, for :meth:`step`: a NamedTuple for each layer."""
        self._refuse_steps()
        return self._fresh(batch)

    def state_from(self, hx: Any) -> State:
        """torch.nn's h_n or (h_n, c_n), [layers, batch, …] -> the state that :meth:`step` takes."""
        self._refuse_steps()
        return self._split(hx)

    def state_to(self, state: State) -> Any:
        """The inverse of :meth:`state_from`: what ``forward`` takes as ``hx``."""
        return self._joined(state)

    def explain_kernel(
        self,
        input: Tensor | PackedSequence,
        *,
        lengths: Int[Tensor, " batch"] | None = None,
        resets: Bool[Tensor, "..."] | None = None,
    ) -> tuple[Choice, ...]:
        """Which kernel runs this in the present mode, and why: one for all, or one for each layer and direction."""
        if not self._extras(lengths, resets) and not self._on_engine():
            return (Choice("torch", f"torch.nn.{self._get_name()} itself: nothing beyond it is asked for"),)
        values, ends, resets, _ = arrange(input, lengths, resets, batch_first=self.batch_first)
        ends = kernels.ragged(ends, values.shape[1])
        key = torch.zeros((), dtype=torch.int64) if self.training else None
        return tuple(
            kernels.choose(self._cell(place, key), self.kernel, lengths=ends, resets=resets)
            for place in range(len(self._templates))
        )

    def _extras(self, lengths: Tensor | None, resets: Tensor | None) -> bool:
        """Whether anything is asked for that torch's own forward does not do, or not reproducibly."""
        dropped = self.recurrent_dropout or self.weight_drop or (self.dropout and self.num_layers > 1)
        return bool(
            lengths is not None
            or resets is not None
            or self.kernel == "loop"
            or self.zoneout
            or (self.training and dropped)
        )

    def _on_engine(self) -> bool:
        """Whether the engine takes what torch's own forward could do as well."""
        weight: Any = self.weight_hh_l0
        return self.kernel == "cpu" or (self.kernel == "auto" and kernels.takes(weight))

    def _run(
        self, values: Tensor, states: State, lengths: Tensor | None, resets: Tensor | None, rows: Rows | None = None
    ) -> tuple[Tensor, State]:
        dropped = self.dropout or self.recurrent_dropout or self.zoneout or self.weight_drop
        key = draw_key() if self.training and dropped else None
        directions = 2 if self.bidirectional else 1
        fresh = (None,) * len(states) if resets is None else self._fresh(len(values))
        after = []
        for layer in range(self.num_layers):
            if layer and key is not None and self.dropout:
                values = dropout(values, self.dropout, fold(key, layer * directions), OUTPUT)
            outputs = []
            for direction in range(directions):
                place = layer * directions + direction
                cell, shared = self._cell(place, key), {"kernel": self.kernel, "reverse": direction == 1}
                if rows is not None:
                    output, final = kernels.run_rows(cell, values, states[place], rows, **shared)
                else:
                    given = {"lengths": lengths, "resets": resets, "fresh": fresh[place]}
                    output, final = kernels.run(cell, values, states[place], **given, **shared)
                outputs.append(output)
                after.append(final)
            values = torch.cat(outputs, dim=-1) if len(outputs) > 1 else outputs[0]
        return values, tuple(after)

    def _cell(self, place: int, key: Tensor | None) -> Cell:
        """The cell of one layer and direction for one forward pass."""
        return regularized(
            self._bound(place),
            recurrent_dropout=self.recurrent_dropout,
            zoneout=self.zoneout,
            weight_drop=self.weight_drop,
            key=None if key is None else fold(key, place),
        )

    def _bound(self, place: int) -> Cell:
        """The cell of one layer and direction, computing with the layer's own tensors."""
        layer, backwards = divmod(place, 2) if self.bidirectional else (place, 0)
        end = f"l{layer}_reverse" if backwards else f"l{layer}"
        names = {"input.weight": "weight_ih", "recurrent.weight": "weight_hh"}
        if self.bias:
            names |= {"input.bias": "bias_ih", "recurrent.bias": "bias_hh"}
        if self.proj_size:
            names["projection.weight"] = "weight_hr"
        # By attribute, so that a parametrized weight comes as what it is computed to be.
        return bound(self._templates[place], {own: getattr(self, f"{name}_{end}") for own, name in names.items()})

    def _fresh(self, batch: int) -> State:
        states = []
        weight: Any = self.weight_hh_l0
        for place, template in enumerate(self._templates):
            widths = [self.proj_size or self.hidden_size, self.hidden_size]
            state = template.State(
                *(weight.new_zeros(batch, w) for w, _ in zip(widths, template.State._fields, strict=False))
            )
            if self.learn_initial_state:
                learned = {f: getattr(self, f"initial_{f}")[place].expand(batch, -1) for f in state._fields}
                state = state._replace(**learned)
            states.append(state)
        return tuple(states)

    def _start(self, input: Tensor | PackedSequence) -> Any:
        """The learned initial state in torch's layout."""
        if isinstance(input, PackedSequence):
            return self._joined(self._fresh(int(input.batch_sizes[0])))
        if input.dim() == 2:
            return self._laid_out(self._fresh(1), Layout(self.batch_first, unbatched=True))
        return self._joined(self._fresh(input.shape[0 if self.batch_first else 1]))

    def _given(self, hx: Any, batch: int, layout: Layout) -> State:
        """torch's hx, [layers · directions, batch, …] -> a state for each layer and direction, in the run's order."""
        parts = list(hx) if isinstance(self, nn.LSTM) else [hx]
        parts = [layout.rows_in(part, 1) for part in parts]
        widths = [self.proj_size or self.hidden_size, self.hidden_size]
        for name, part, width in zip(("h", "c"), parts, widths, strict=False):
            expected = (len(self._templates), batch, width)
            if part.shape != expected:
                raise StateError(f"hx: {name} has shape {tuple(part.shape)}, expected {expected}")
        return self._split(tuple(parts) if len(parts) > 1 else parts[0])

    def _split(self, hx: Any) -> State:
        if isinstance(self, nn.LSTM):
            return tuple(LSTMState(h=h, c=c) for h, c in zip(*hx, strict=True))
        return tuple(HiddenState(h=h) for h in hx)

    def _joined(self, states: State) -> Any:
        leaves = tuple(torch.stack(parts) for parts in zip(*states, strict=True))
        return leaves if isinstance(self, nn.LSTM) else leaves[0]

    def _laid_out(self, states: State, layout: Layout) -> Any:
        joined = self._joined(states)
        if isinstance(joined, tuple):
            return tuple(layout.rows_out(part, 1) for part in joined)
        return layout.rows_out(joined, 1)

    def _refuse_steps(self) -> None:
        if self.bidirectional:
            raise StateError(
                "a bidirectional layer looks into the future and can't be stepped; train one with bidirectional=False, "
                "or run it over whole sequences"
            )

    def extra_repr(self) -> str:
        off: dict[str, Any] = {
            "recurrent_dropout": 0.0,
            "zoneout": 0.0,
            "weight_drop": 0.0,
            "learn_initial_state": False,
            "kernel": "auto",
        }
        extras = [f"{name}={getattr(self, name)}" for name, default in off.items() if getattr(self, name) != default]
        return ", ".join([super().extra_repr(), *extras])


class RNN(_DropIn, nn.RNN):
    """``torch.nn.RNN`` with latchwork's keywords, as :class:`LSTM`. Cell: :class:`latchwork.cells.RNN`."""

    def _template(self, input_size: int) -> Cell:
        kind = self.nonlinearity
        return cells.RNN(input_size, self.hidden_size, bias=self.bias, activation=kind, device="meta")


class GRU(_DropIn, nn.GRU):
    """``torch.nn.GRU`` with latchwork's keywords, as :class:`LSTM`. Cell: :class:`latchwork.cells.GRU`."""

    def _template(self, input_size: int) -> Cell:
        return cells.GRU(input_size, self.hidden_size, bias=self.bias, device="meta")


class LSTM(_DropIn, nn.LSTM):
    """``torch.nn.LSTM`` with latchwork's keywords. Cell: :class:`latchwork.cells.LSTM`.

        lstm = latchwork.LSTM(3, 8, num_layers=2, batch_first=True)
        outputs, (h_n, c_n) = lstm(inputs, lengths=lengths)
        output, state = lstm.step(x_t, lstm.initial_state(batch))

    It *is* a torch.nn.LSTM (``isinstance`` says so): torch gives the constructor, defaults, initialisation in its
    random order, parameter names, ``state_dict``, ``flatten_parameters`` and ``all_weights``, and runs what the engine
    does not. So a checkpoint of either loads into the other.

    Constructor keywords beyond torch's: recurrent_dropout, zoneout, weight_drop (see
    :mod:`latchwork.layers.regularize`); learn_initial_state, which adds the parameters ``initial_h`` and, for an
    LSTM, ``initial_c``, [layers · directions, …]; kernel: "auto", "cpu" for the engine, "torch", or "loop" for the
    reference. Call keywords beyond torch's: lengths, resets.

    Dropout between layers comes from a counter (torch's cuDNN dropout is not reproducible), so its masks are not
    those that torch.nn would draw from the same seed: they are the same on every device instead.
    """

    def _template(self, input_size: int) -> Cell:
        return cells.LSTM(input_size, self.hidden_size, bias=self.bias, proj_size=self.proj_size, device="meta")
