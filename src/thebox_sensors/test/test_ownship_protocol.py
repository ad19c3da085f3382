# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""NMEA 0183 sentences, bare and in IEC 61162-450 datagrams, whole and damaged."""

from __future__ import annotations

import datetime
import math
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebox_sensors.ownship import protocol

RMC = "GPRMC,003643.50,A,5954.6000,N,01045.0000,E,012.4,084.4,050925,003.1,W,A,V"
GGA = "GPGGA,003643.50,5954.6000,S,01045.0000,W,4,08,0.9,15.4,M,39.9,M,,"
WHEN = 1757032603.5


def check(content: str) -> str:
    return f"{reduce(lambda total, byte: total ^ byte, content.encode(), 0):02X}"


def sentence(content: str, start: str = "$") -> bytes:
    return f"{start}{content}*{check(content)}\r\n".encode()


def tag(content: str) -> bytes:
    return f"\\{content}*{check(content)}\\".encode()


def read(datagram: bytes, received: float = math.nan) -> list[Any]:
    parsed = protocol.Parser().parse(datagram, received)
    assert parsed.rejects == []
    return parsed.records


def reason(datagram: bytes) -> str:
    parsed = protocol.Parser().parse(datagram)
    assert parsed.records == []
    assert len(parsed.rejects) == 1
    assert parsed.rejects[0].reason in protocol.REASONS
    return parsed.rejects[0].reason


def test_rmc_gives_a_fix_and_a_course() -> None:
    fix, motion = read(sentence(RMC))
    assert fix.time == motion.time == WHEN
    assert fix.latitude == pytest.approx(math.radians(59.91))
    assert fix.longitude == pytest.approx(math.radians(10.75))
    assert math.isnan(fix.altitude)
    assert (fix.source, fix.talker) == ("RMC", "GP")
    assert motion.course == pytest.approx(math.radians(84.4))
    assert motion.speed == pytest.approx(12.4 * 0.514444, rel=1e-5)


def test_gga_takes_its_date_from_the_receiver() -> None:
    (fix,) = read(sentence(GGA), WHEN + 2)
    assert fix.time == WHEN
    assert fix.latitude == pytest.approx(math.radians(-59.91))
    assert fix.longitude == pytest.approx(math.radians(-10.75))
    assert (fix.altitude, fix.geoid_separation) == (15.4, 39.9)
    assert (fix.quality, fix.satellites, fix.hdop, fix.source) == (4, 8, 0.9, "GGA")
    assert math.isnan(read(sentence(GGA))[0].time)


@pytest.mark.parametrize(
    ("clock", "received", "expected"),
    [
        ("235959.00", 1757030401.0, 1757030399.0),
        ("000001.00", 1757030398.0, 1757030401.0),
        ("120000.00", 1757030401.0 + 43200, 1757030400.0 + 43200),
        # A leap second is the first of the next day, on either side of midnight.
        ("235960.50", 1757030400.0, 1757030400.5),
        ("235960", 1757030399.0, 1757030400.0),
    ],
)
def test_time_of_day_over_midnight(clock: str, received: float, expected: float) -> None:
    (fix,) = read(sentence(GGA.replace("003643.50", clock)), received)
    assert fix.time == expected


def test_a_leap_second_of_rmc() -> None:
    fix = read(sentence(RMC.replace("003643.50", "235960.50")))[0]
    assert fix.time == 1757116800.5


def test_gga_takes_its_date_from_rmc_when_the_receiver_gives_none() -> None:
    parser = protocol.Parser()
    parser.parse(sentence(RMC))
    (fix,) = parser.parse(sentence(GGA)).records
    assert fix.time == WHEN
    parser.reset()
    (fix,) = parser.parse(sentence(GGA)).records
    assert math.isnan(fix.time)


@pytest.mark.parametrize(
    ("content", "heading", "source"),
    [
        ("HEHDT,274.07,T", 274.07, "HDT"),
        ("HEHDT,360.0,T", 0.0, "HDT"),
        ("GPTHS,77.52,A", 77.52, "THS"),
        ("GPTHS,77.52,E", 77.52, "THS"),
        ("HCHDG,98.3,1.0,E,12.6,W", 86.7, "HDG"),
        ("HCHDG,5.0,2.0,W,12.6,W", 350.4, "HDG"),
        ("HCHDG,350.0,,,12.5,E", 2.5, "HDG"),
    ],
)
def test_headings(content: str, heading: float, source: str) -> None:
    (record,) = read(sentence(content))
    assert record.heading == pytest.approx(math.radians(heading))
    assert record.source == source
    assert math.isnan(record.time)


def test_variation_of_rmc_serves_hdg() -> None:
    parser = protocol.Parser()
    hdg = sentence("HCHDG,100.0,,,,")
    assert parser.parse(hdg).rejects[0].reason == "no_variation"
    parser.parse(sentence(RMC))
    (record,) = parser.parse(hdg).records
    assert isinstance(record, protocol.Heading)
    assert record.heading == pytest.approx(math.radians(96.9))
    parser.reset()
    assert parser.parse(hdg).rejects[0].reason == "no_variation"


def test_course_and_turn_rate() -> None:
    (motion,) = read(sentence("GPVTG,054.7,T,034.4,M,005.5,N,010.2,K,A"))
    assert motion.course == pytest.approx(math.radians(54.7))
    assert motion.speed == pytest.approx(5.5 * 1852 / 3600)
    (motion,) = read(sentence("GPVTG,,T,,M,,N,36.0,K,A"))
    assert math.isnan(motion.course)
    assert motion.speed == pytest.approx(10.0)
    (rate,) = read(sentence("TIROT,-60.0,A"))
    assert rate.rate == pytest.approx(-math.radians(1.0))


def test_a_61162_450_datagram() -> None:
    datagram = (
        b"UdPbC\0"
        + tag("s:HE0001,n:12")
        + sentence("HEHDT,10.0,T")
        + tag("g:1-2-34,s:HE0001,n:13")
        + tag("c:1757032603")
        + sentence("HEHDT,20.0,T")
        + sentence("HEROT,1.0,A")
        + tag("c:1757032603250")
        + sentence("HEHDT,30.0,T")
    )
    records = read(datagram)
    assert [
        round(math.degrees(record.heading)) for record in records if hasattr(record, "heading")
    ] == [
        10,
        20,
        30,
    ]
    assert math.isnan(records[0].time)
    assert records[1].time == 1757032603.0
    assert math.isnan(records[2].time)
    assert records[3].time == 1757032603.25


@pytest.mark.parametrize(
    ("datagram", "expected"),
    [
        (b"", "empty"),
        (b"UdPbC\0", "empty"),
        (b"UdPbC\0\r\n", "empty"),
        (b"x" * 20_000, "too_long"),
        (b"$" + b"x" * 600, "too_long"),
        (b"\xff\xfe", "not_text"),
        (b"RaUdP\0" + bytes(40), "not_nmea"),
        (b"hello", "not_nmea"),
        (b"HEHDT,274.07,T*1A", "not_nmea"),
        (b"$HEHDT,274.07,T", "no_checksum"),
        (b"$HEHDT,274.07,T*", "no_checksum"),
        (b"$HEHDT,274.07,T*1", "not_nmea"),
        (b"$HEHDT,274.07,T*00", "bad_checksum"),
        (b"\\s:HE0001,n:12*00\\" + sentence("HEHDT,1.0,T"), "bad_tag_block"),
        (b"\\s:HE0001" + sentence("HEHDT,1.0,T"), "bad_tag_block"),
        (sentence("AIVDM,1,1,,A,13u?etPv2;0n:dDPwUM1U1Cb069D,0", "!"), "other_sentence"),
        (sentence("PSTXHDT,1,2"), "other_sentence"),
        (sentence("GPZDA,003643.50,05,09,2025,00,00"), "other_sentence"),
        (sentence("HEHDT"), "other_sentence"),
        (sentence(""), "other_sentence"),
        (sentence("HEHDT,abc,T"), "malformed"),
        (sentence("HEHDT,,T"), "no_value"),
        (sentence("HEHDT,nan,T"), "bad_heading"),
        (sentence("HEHDT,1e400,T"), "bad_heading"),
        (sentence("HEHDT,361.0,T"), "bad_heading"),
        (sentence("GPTHS,77.5,V"), "invalid"),
        (sentence("GPTHS,77.5"), "invalid"),
        (sentence("GPTHS,77.5,S"), "simulator"),
        (sentence("HCHDG,98.3,1.0,,12.6,W"), "bad_variation"),
        (sentence("HCHDG,98.3,1.0,E,,"), "no_variation"),
        (sentence("TIROT,5.0,V"), "invalid"),
        (sentence("TIROT,-9999.0,A"), "bad_rate"),
        (sentence("GPVTG,,T,,M,,N,,K,A"), "no_value"),
        (sentence("GPVTG,,T,,M,,N,,K,N"), "no_fix"),
        (sentence("GPVTG,400.0,T,,M,1.0,N,,K,A"), "bad_course"),
        (sentence("GPRMC,,V,,,,,,,,,,N"), "no_fix"),
        (sentence("GPRMC,1,A"), "bad_time"),
        (sentence(RMC.replace(",A,V", ",S,V")), "simulator"),
        (sentence(RMC.replace(",A,59", ",V,59")), "no_fix"),
        (sentence(RMC.replace("012.4", "999.9")), "bad_speed"),
        (sentence(RMC.replace("5954.6000", "9954.6000")), "bad_position"),
        (sentence(RMC.replace(",N,", ",,")), "bad_position"),
        (sentence(RMC.replace("050925", "320925")), "bad_time"),
        (sentence(GGA.replace("003643.50", "256000.00")), "bad_time"),
        (sentence(GGA.replace(",W,4,", ",W,0,")), "no_fix"),
        (sentence(GGA.replace(",W,4,", ",W,8,")), "simulator"),
        (sentence(GGA.replace(",W,4,", ",W,,")), "no_fix"),
    ],
)
def test_unusable_sentences_are_rejected_by_reason(datagram: bytes, expected: str) -> None:
    assert reason(datagram) == expected


def test_a_bad_sentence_does_not_hide_good_ones() -> None:
    datagram = sentence("HEHDT,1.0,T") + b"$HEHDT,2.0,T*00\r\n\xff\r\n" + sentence("HEHDT,3.0,T")
    parsed = protocol.Parser().parse(datagram)
    assert [round(math.degrees(r.heading)) for r in parsed.records if hasattr(r, "heading")] == [
        1,
        3,
    ]
    assert [reject.reason for reject in parsed.rejects] == ["bad_checksum", "not_text"]


@given(
    st.integers(946_800_000_00, 3_124_137_600_00),
    st.floats(-89.99, 89.99),
    st.floats(-179.99, 179.99),
    st.floats(0, 200),
    st.floats(0, 359.94),
)
def test_what_a_receiver_says_is_what_is_read(
    centiseconds: int, latitude: float, longitude: float, speed: float, course: float
) -> None:
    def dm(value: float, digits: int) -> str:
        degrees = int(abs(value))
        return f"{degrees:0{digits}d}{min((abs(value) - degrees) * 60, 59.99999):08.5f}"

    said = centiseconds / 100
    when = datetime.datetime.fromtimestamp(said, datetime.timezone.utc)
    fix, motion = read(
        sentence(
            f"GNRMC,{when:%H%M%S}.{centiseconds % 100:02d},A,{dm(latitude, 2)},"
            f"{'N' if latitude >= 0 else 'S'},{dm(longitude, 3)},{'E' if longitude >= 0 else 'W'},"
            f"{speed:.2f},{course:.1f},{when:%d%m%y},,,A"
        )
    )
    assert fix.time == pytest.approx(said, abs=1e-6)
    assert math.degrees(fix.latitude) == pytest.approx(latitude, abs=2e-7)
    assert math.degrees(fix.longitude) == pytest.approx(longitude, abs=2e-7)
    assert motion.speed == pytest.approx(speed * 1852 / 3600, abs=0.003)
    assert math.cos(motion.course - math.radians(course)) > 1 - 1e-5


def check_accounted(datagram: bytes) -> None:
    parsed = protocol.Parser().parse(datagram, WHEN)
    assert len(parsed.records) + len(parsed.rejects) >= 1
    for reject in parsed.rejects:
        assert reject.reason in protocol.REASONS
        assert reject.detail.isprintable()
        assert len(reject.detail) <= 160
    for record in parsed.records:
        for name in record.__slots__:
            value = getattr(record, name)
            assert not isinstance(value, float) or not math.isinf(value)


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: b"$" + text.encode()))
def test_any_bytes_are_accounted_for(datagram: bytes) -> None:
    check_accounted(datagram)


FIELD = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*$!\\,"))


@given(
    st.sampled_from(sorted(protocol._USED)),
    st.lists(FIELD | st.sampled_from(["A", "N", "E", "1.5", "nan", "inf", ""]), max_size=16),
)
def test_sentences_of_any_fields_are_accounted_for(formatter: str, fields: list[str]) -> None:
    check_accounted(sentence(",".join([f"GP{formatter}", *fields])))


@given(
    st.sampled_from([RMC, GGA, "HEHDT,274.07,T", "HCHDG,98.3,1.0,E,12.6,W", "GPTHS,77.52,A"]),
    st.lists(st.tuples(st.integers(0, 80), FIELD), min_size=1, max_size=3),
)
def test_mutated_sentences_are_accounted_for(content: str, changes: list[tuple[int, str]]) -> None:
    for position, new in changes:
        content = content[:position] + new + content[position + 1 :]
    check_accounted(sentence(content))
