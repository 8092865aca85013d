"""The units that telemetry may use, by dimension: the source of `compiled_units`, which `compile_units` makes.

A list of our own rather than all that pint can read, since what pint reads is not always what a device means: to pint
`C` is a coulomb, `pH` a picohenry and `Nm` a number-metre.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CATALOGUE: Final[Mapping[str, Mapping[str, str]]] = {
    # canonical unit: {spelling: how pint writes it}
    "degC": {
        "degC": "degC", "°C": "degC", "celsius": "degC", "degF": "degF", "°F": "degF", "fahrenheit": "degF",
        "K": "kelvin", "kelvin": "kelvin", "degR": "degR",
    },
    "Pa": {
        "Pa": "Pa", "hPa": "hPa", "kPa": "kPa", "MPa": "MPa", "bar": "bar", "mbar": "mbar", "psi": "psi", "atm": "atm",
        "torr": "torr", "mmHg": "mmHg", "inHg": "inHg",
    },
    "m/s": {
        "m/s": "m/s", "km/h": "km/h", "kph": "km/h", "mph": "mph", "kn": "knot", "knot": "knot", "ft/s": "ft/s",
        "mm/s": "mm/s",
    },
    "percent": {
        "percent": "percent", "%": "percent", "%RH": "percent", "ratio": "dimensionless", "permille": "permille",
    },
    "ppm": {"ppm": "ppm", "ppb": "ppb"},
    "s": {
        "s": "s", "ms": "ms", "us": "us", "µs": "us", "ns": "ns", "min": "min", "h": "h", "hour": "h", "d": "day",
        "day": "day",
    },
    "V": {"V": "V", "mV": "mV", "uV": "uV", "µV": "uV", "kV": "kV"},
    "A": {"A": "A", "mA": "mA", "uA": "uA", "µA": "uA", "kA": "kA"},
    "W": {"W": "W", "mW": "mW", "kW": "kW", "MW": "MW", "GW": "GW", "hp": "hp"},
    "VA": {"VA": "VA", "kVA": "kVA", "MVA": "MVA"},
    "var": {"var": "VA", "kvar": "kVA", "Mvar": "MVA"},
    "J": {
        "J": "J", "kJ": "kJ", "MJ": "MJ", "GJ": "GJ", "Wh": "Wh", "kWh": "kWh", "MWh": "MWh", "cal": "cal",
        "kcal": "kcal", "BTU": "BTU",
    },
    "Hz": {"Hz": "Hz", "mHz": "mHz", "kHz": "kHz", "MHz": "MHz", "GHz": "GHz"},
    "rpm": {"rpm": "rpm", "rps": "turn/s", "rad/s": "rad/s", "deg/s": "deg/s"},
    "deg": {"deg": "deg", "°": "deg", "rad": "rad", "mrad": "mrad", "turn": "turn"},
    "m": {
        "m": "m", "nm": "nm", "um": "um", "µm": "um", "mm": "mm", "cm": "cm", "km": "km", "in": "inch", "ft": "ft",
        "yd": "yard", "mi": "mile", "nmi": "nautical_mile",
    },
    "m2": {"m2": "m**2", "m²": "m**2", "cm2": "cm**2", "cm²": "cm**2", "km2": "km**2", "ha": "hectare", "ft2": "ft**2"},
    "m3": {
        "m3": "m**3", "m³": "m**3", "l": "l", "L": "l", "ml": "ml", "mL": "ml", "hl": "hl", "gal": "gal",
        "ft3": "ft**3",
    },
    "m3/s": {
        "m3/s": "m**3/s", "m³/s": "m**3/s", "m3/h": "m**3/h", "m³/h": "m**3/h", "l/s": "l/s", "L/s": "l/s",
        "l/min": "l/min", "L/min": "l/min", "l/h": "l/h", "L/h": "l/h", "gpm": "gal/min", "cfm": "ft**3/min",
    },
    "kg": {"kg": "kg", "g": "g", "mg": "mg", "ug": "ug", "µg": "ug", "t": "metric_ton", "lb": "lb", "oz": "oz"},
    "kg/s": {"kg/s": "kg/s", "kg/h": "kg/h", "g/s": "g/s", "t/h": "metric_ton/h"},
    "kg/m3": {
        "kg/m3": "kg/m**3", "kg/m³": "kg/m**3", "g/m3": "g/m**3", "g/m³": "g/m**3", "mg/m3": "mg/m**3",
        "mg/m³": "mg/m**3", "ug/m3": "ug/m**3", "µg/m3": "ug/m**3", "µg/m³": "ug/m**3", "g/l": "g/l", "g/L": "g/l",
        "mg/l": "mg/l", "mg/L": "mg/l",
    },
    "m/s2": {
        "m/s2": "m/s**2", "m/s²": "m/s**2", "mm/s2": "mm/s**2", "gn": "standard_gravity",
        "mgn": "millistandard_gravity",
    },
    "N": {"N": "N", "mN": "mN", "kN": "kN", "lbf": "lbf", "kgf": "kgf"},
    "N.m": {"N.m": "N*m", "Nm": "N*m", "kN.m": "kN*m", "lbf.ft": "lbf*ft"},
    "ohm": {"ohm": "ohm", "Ω": "ohm", "mohm": "mohm", "kohm": "kohm", "kΩ": "kohm", "Mohm": "Mohm", "MΩ": "Mohm"},
    "C": {"C": "coulomb", "mAh": "mA*h", "Ah": "A*h"},
    "F": {"F": "farad", "uF": "uF", "µF": "uF", "nF": "nF", "pF": "pF"},
    "T": {"T": "tesla", "mT": "mT", "uT": "uT", "µT": "uT"},
    "S/m": {"S/m": "S/m", "mS/cm": "mS/cm", "uS/cm": "uS/cm", "µS/cm": "uS/cm"},
    "lx": {"lx": "lx", "lux": "lx", "klx": "klx"},
    "lm": {"lm": "lm"},
    "cd": {"cd": "cd"},
    "W/m2": {"W/m2": "W/m**2", "W/m²": "W/m**2", "kW/m2": "kW/m**2", "mW/cm2": "mW/cm**2"},
    "Sv/s": {"Sv/s": "Sv/s", "Sv/h": "Sv/h", "mSv/h": "mSv/h", "uSv/h": "uSv/h", "µSv/h": "uSv/h"},
    "Bq": {"Bq": "Bq", "kBq": "kBq"},
    "mol": {"mol": "mol", "mmol": "mmol"},
    "B": {
        "B": "byte", "kB": "kB", "MB": "MB", "GB": "GB", "KiB": "KiB", "MiB": "MiB", "GiB": "GiB", "bit": "bit",
        "kbit": "kbit", "Mbit": "Mbit",
    },
    "B/s": {
        "B/s": "byte/s", "kB/s": "kB/s", "MB/s": "MB/s", "bit/s": "bit/s", "kbit/s": "kbit/s", "Mbit/s": "Mbit/s",
        "Gbit/s": "Gbit/s",
    },
    # Levels and counts have no other unit to convert from: a decibel is a logarithm, and 3 dB plus 3 dB is not 6 dB.
    "dB": {"dB": ""}, "dBA": {"dBA": ""}, "dBm": {"dBm": ""}, "pH": {"pH": ""}, "NTU": {"NTU": ""},
    "count": {"count": "", "pulse": ""}, "1": {"1": ""},
}  # fmt: skip
"""An empty pint expression: the spelling is another name of the canonical unit, or it itself."""
